import Glibc

/// What belongs to a started child: the writing end of its input pipe, and the files that take its output.
struct LaunchedChild {
    let identifier: pid_t
    let input: CInt
    let output: CInt
    let errors: CInt
}

/// Finds `tool` and starts it; see `ChildProcess.init`.
func launch(
    _ tool: String, _ arguments: [String], environment: [String: String?], directory: String?
) throws -> LaunchedChild {
    guard let path = findTool(tool) else { throw CommandProblem("\(tool): there is no such program") }
    var opened: [CInt] = []
    do {
        opened.append(try unnamedFile())
        opened.append(try unnamedFile())
        var ends: [CInt] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw CommandProblem("pipe: \(systemMessage(errno))") }
        opened.append(ends[1])
        defer { close(ends[0]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        // posix_spawn cannot change the directory portably; env(1) can, and then becomes the program.
        let command = directory.map { ["env", "-C", $0, path] } ?? [tool]
        let identifier = try spawn(
            directory == nil ? path : "/usr/bin/env", arguments: command + arguments,
            environment: mergedEnvironment(environment), standard: (ends[0], opened[0], opened[1]))
        return LaunchedChild(identifier: identifier, input: ends[1], output: opened[0], errors: opened[1])
    } catch {
        for descriptor in opened { close(descriptor) }
        throw error
    }
}

/// Starts `path` by posix_spawn(3) in a process group of its own, with the three given descriptors as its standard
/// ones and no others, with default signal handling and no blocked signals.
func spawn(
    _ path: String, arguments: [String], environment: [String],
    standard: (input: CInt, output: CInt, errors: CInt)
) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, standard.input, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, standard.output, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, standard.errors, 2)
    // Tests run in parallel: a pipe end or socket of another test, kept open by this child, would hide an end of file.
    // Closing what is not open does no harm; the margin is for what other threads open meanwhile.
    for descriptor in 3...greatestDescriptor() + 64 {
        unsafe posix_spawn_file_actions_addclose(&actions, descriptor)
    }

    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

    var identifier: pid_t = 0
    let result = unsafe withCStringArray(arguments) { arguments in
        unsafe withCStringArray(environment) { environment in
            unsafe posix_spawn(&identifier, path, &actions, &attributes, arguments, environment)
        }
    }
    guard result == 0 else { throw CommandProblem("cannot start \(path): \(systemMessage(result))") }
    return identifier
}

/// A null-terminated array of C strings that lives during `body`.
private func withCStringArray<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer {
        for index in unsafe pointers.indices { unsafe free(pointers[index]) }
    }
    return unsafe pointers.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
}

/// This process's environment as `NAME=value` strings, with `changes` made to it.
func mergedEnvironment(_ changes: [String: String?]) -> [String] {
    var result: [String] = []
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
        let variable = unsafe String(cString: text)
        let name = String(variable.prefix { $0 != "=" })
        if changes[name] == nil { result.append(variable) }
        unsafe entry += 1
    }
    for (name, value) in changes {
        if let value { result.append("\(name)=\(value)") }
    }
    return result
}

/// The greatest number of an open descriptor of this process.
private func greatestDescriptor() -> CInt {
    ((try? directoryEntries("/proc/self/fd")) ?? []).compactMap { CInt($0) }.max() ?? 1024
}

/// An open file without a name.
func unnamedFile() throws -> CInt {
    var template = Array("\(environmentValue("TMPDIR") ?? "/tmp")/spillway-output-XXXXXX".utf8CString)
    let descriptor = unsafe mkstemp(&template)
    guard descriptor >= 0 else {
        throw CommandProblem("cannot make a temporary file: \(systemMessage(errno))")
    }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    unsafe unlink(template)
    return descriptor
}

/// Runs `body`, which writes to a pipe or socket, so that a closed other end is EPIPE and no signal. The signal
/// handling of the process stays as it is, since the tests of the product rely on it.
func withoutPipeSignal(_ body: () -> Int) -> Int {
    var pipeSignal = sigset_t()
    var former = sigset_t()
    unsafe sigemptyset(&pipeSignal)
    unsafe sigaddset(&pipeSignal, SIGPIPE)
    unsafe pthread_sigmask(SIG_BLOCK, &pipeSignal, &former)
    let result = body()
    let number = errno
    if result < 0 && number == EPIPE {
        var now = timespec()
        _ = unsafe sigtimedwait(&pipeSignal, nil, &now)
    }
    unsafe pthread_sigmask(SIG_SETMASK, &former, nil)
    errno = number
    return result
}
