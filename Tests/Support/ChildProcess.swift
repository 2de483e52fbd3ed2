import Glibc

/// A running child process in a process group of its own.
///
/// What it writes goes to unnamed temporary files, so it never blocks on a test that does not read, and the test can
/// look at the output while the child runs. Its standard input is a pipe. No descriptor of the test process
/// except these three reaches the child. Use `withChild`, which ends the child whatever happens, or `run` for a
/// command that ends by itself.
public final class ChildProcess {
    /// The process id, which is also the id of its process group.
    public let identifier: Int32
    /// The command line, for messages.
    public let commandLine: String
    private var input: CInt
    private let output: CInt
    private let errors: CInt
    private var status: ExitStatus?

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - tool: a name looked up like the shell does, or a path.
    ///   - environment: variables to set on top of this process's own; nil as value removes one.
    ///   - directory: the working directory of the child; nil keeps this process's.
    public init(
        _ tool: String, _ arguments: [String] = [], environment: [String: String?] = [:],
        directory: String? = nil
    ) throws {
        let parts = try launch(tool, arguments, environment: environment, directory: directory)
        commandLine = ([tool] + arguments).joined(separator: " ")
        identifier = parts.identifier
        (input, output, errors) = (parts.input, parts.output, parts.errors)
    }

    deinit {
        if status == nil {
            kill(-identifier, SIGKILL)
            var ignored: CInt = 0
            while unsafe waitpid(identifier, &ignored, 0) < 0 && errno == EINTR {}
        }
        if input >= 0 { close(input) }
        close(output)
        close(errors)
    }

    /// Writes to the child's standard input what it takes now, and tells how many bytes that were; nil when the child
    /// has closed its end.
    public func offerInput(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard input >= 0, !bytes.isEmpty else { return input >= 0 ? 0 : nil }
        let count = withoutPipeSignal { [input] in
            unsafe bytes.withUnsafeBytes { unsafe write(input, $0.baseAddress, $0.count) }
        }
        if count >= 0 { return count }
        if errno == EAGAIN || errno == EINTR { return 0 }
        return nil
    }

    /// Writes all of `bytes` to the child's standard input, waiting while it does not read. Bytes that a child which
    /// has closed its end would have got are dropped.
    public func writeInput(_ bytes: [UInt8], timeLimit: Duration = .seconds(60)) throws {
        var rest = bytes[...]
        let deadline = ContinuousClock.now + timeLimit
        while !rest.isEmpty {
            guard let count = offerInput(rest) else { return }
            rest = rest.dropFirst(count)
            guard ContinuousClock.now < deadline else {
                throw CommandProblem("\(commandLine): did not read its input within \(timeLimit)")
            }
            if count == 0 { waitForInput(milliseconds: 5) }
        }
    }

    /// Closes the child's standard input: it sees the end of the file.
    public func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    /// Sends a signal to the child, or to its whole process group.
    public func send(signal: CInt, toGroup: Bool = false) {
        if status == nil { kill(toGroup ? -identifier : identifier, signal) }
    }

    /// True while the child has not ended.
    public func isRunning() -> Bool {
        if status != nil { return false }
        var raw: CInt = 0
        let ended = unsafe waitpid(identifier, &raw, WNOHANG)
        if ended == identifier { status = ExitStatus(waitStatus: raw) }
        return status == nil
    }

    /// Waits for the child to end by itself.
    ///
    /// - Returns: how it ended and all it wrote.
    /// - Throws: `CommandProblem` when it still runs after `timeLimit`; its whole process group is then killed.
    public func wait(timeLimit: Duration = .seconds(60)) throws -> CommandResult {
        try finish(feeding: nil, timeLimit: timeLimit)
    }

    /// Waits until `condition` holds for what the child has written so far (output, errors).
    ///
    /// - Throws: `CommandProblem` when the child has ended, or the time is over, without it.
    public func waitUntil(
        timeLimit: Duration = .seconds(30), _ condition: (_ output: String, _ errors: String) -> Bool
    ) throws {
        let deadline = ContinuousClock.now + timeLimit
        while true {
            // Asked before the output is read, so that what it wrote last is seen.
            let running = isRunning()
            if condition(outputText, errorText) { return }
            guard running, ContinuousClock.now < deadline else {
                let event = running ? "\(timeLimit) passed" : "it ended"
                throw CommandProblem(
                    "\(commandLine): \(event) before what was awaited\n\(outputText)\(errorText)")
            }
            usleep(2000)
        }
    }

    /// What the child has written to its standard output so far.
    public var outputBytes: [UInt8] { readAll(output) ?? [] }
    /// What the child has written to its standard output so far, as text.
    public var outputText: String { String(decoding: outputBytes, as: UTF8.self) }
    /// What the child has written to its standard error so far, as text.
    public var errorText: String { String(decoding: readAll(errors) ?? [], as: UTF8.self) }

    /// Feeds the input while the child takes it, closes it, and waits for the end.
    func finish(feeding bytes: [UInt8]?, timeLimit: Duration) throws -> CommandResult {
        let deadline = ContinuousClock.now + timeLimit
        var rest = (bytes ?? [])[...]
        var pause: useconds_t = 200
        while isRunning() {
            guard ContinuousClock.now < deadline else { throw stopped(after: timeLimit) }
            if !rest.isEmpty, let count = offerInput(rest) {
                rest = rest.dropFirst(count)
                if count == 0 { waitForInput(milliseconds: 5) }
                continue
            }
            if bytes != nil { closeInput() }
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
        guard let status else { throw CommandProblem("\(commandLine): cannot learn how it ended") }
        return CommandResult(
            commandLine: commandLine, status: status, output: outputBytes, errors: readAll(errors) ?? [])
    }

    private func stopped(after timeLimit: Duration) -> CommandProblem {
        kill(-identifier, SIGKILL)
        return CommandProblem("\(commandLine): still running after \(timeLimit)\n\(outputText)\(errorText)")
    }

    private func waitForInput(milliseconds: CInt) {
        var entry = pollfd(fd: input, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&entry, 1, milliseconds)
    }
}

/// Runs `body` with a started child process and kills the child's process group afterwards if it still runs.
@discardableResult
public func withChild<Result>(
    _ tool: String, _ arguments: [String] = [], environment: [String: String?] = [:],
    directory: String? = nil,
    _ body: (ChildProcess) throws -> Result
) throws -> Result {
    let child = try ChildProcess(tool, arguments, environment: environment, directory: directory)
    return try body(child)
}
