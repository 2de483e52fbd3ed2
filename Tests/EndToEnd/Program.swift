import Glibc
import TestSupport
import Testing

/// This process's own SPILLWAY variables, to be taken out of the environment of the program.
func withoutOwnVariables() throws -> [String: String?] {
    let variables = String(decoding: try readFile("/proc/self/environ"), as: UTF8.self).split(separator: "\0")
    let names = variables.map { variable in String(variable.prefix { $0 != "=" }) }.filter {
        $0.hasPrefix("SPILLWAY_")
    }
    return Dictionary(uniqueKeysWithValues: names.map { ($0, nil) })
}

/// A running `spillway run`. It is killed when the value goes away.
final class RunningRelay {
    let child: ChildProcess
    private let folder: String

    /// Starts a run with a small memory and a report, unless told otherwise.
    ///
    /// - Parameters:
    ///   - namespace: where it runs; nil is where the tests run.
    ///   - crashAt: a crash point (CONTRIBUTING.md) at which it is to die.
    ///   - unprivileged: runs it without any capability, by the same user.
    init(
        _ arguments: [String], namespace: NetworkNamespace? = nil, unprivileged: Bool = false, crashAt: String? = nil
    ) throws {
        folder = makeTemporaryDirectory()
        var words = [try builtExecutable("spillway"), "run"] + arguments
        if !arguments.contains("--memory") { words += ["--memory", "48M"] }
        if !arguments.contains("--report") { words += ["--report", "\(folder)/report.json"] }
        if unprivileged { words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] + words }
        if let namespace {
            let command = namespace.inside(words[0], Array(words.dropFirst()))
            words = [command.tool] + command.arguments
        }
        var environment = try withoutOwnVariables()
        if let crashAt { environment.updateValue(crashAt, forKey: "SPILLWAY_CRASH_AT") }
        child = try ChildProcess(words[0], Array(words.dropFirst()), environment: environment)
    }

    deinit {
        child.send(signal: SIGKILL, toGroup: true)
        removeTree(folder)
    }

    /// Waits for the end.
    func finish(timeLimit: Duration = .seconds(60)) throws -> RelayResult {
        let result = try child.wait(timeLimit: timeLimit)
        let text = (try? readFile("\(folder)/report.json")) ?? []
        return RelayResult(command: result, report: text.isEmpty ? nil : try Report(text))
    }

    /// Waits until the relay has said this on standard error.
    func waitFor(_ text: String, times: Int = 1) throws {
        try child.waitUntil { _, errors in errors.ranges(of: text).count >= times }
    }

    /// The rest of the first line of standard error that begins with this, once it is there.
    func line(after start: String) throws -> String {
        try waitFor(start)
        try child.waitUntil { _, errors in errors.contains("segments lie on") }
        let lines = child.errorText.split(separator: "\n")
        let line = try #require(lines.first { $0.hasPrefix(start) })
        return String(line.dropFirst(start.count))
    }

    /// The port readers may connect to, or that of the metrics.
    func port(after start: String = "readers may connect to ") throws -> UInt16 {
        let rest = try line(after: start).drop { $0 != ":" }.dropFirst()
        return try #require(UInt16(rest.prefix { $0.isNumber }))
    }
}

/// How a run ended.
struct RelayResult {
    let command: CommandResult
    let report: Report?

    /// Checks the exit code and what standard error names.
    func expect(
        exits code: Int32, naming words: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(
            command.status == .exited(code), "\(command.commandLine)\n\(command.errorText)",
            sourceLocation: sourceLocation)
        for word in words {
            #expect(
                command.errorText.contains(word), "'\(word)' of \(command.commandLine)\n\(command.errorText)",
                sourceLocation: sourceLocation)
        }
    }
}

/// Runs the relay to its end.
func relay(
    _ arguments: [String], input: [UInt8] = [], unprivileged: Bool = false, timeLimit: Duration = .seconds(60)
) throws -> RelayResult {
    let running = try RunningRelay(arguments, unprivileged: unprivileged)
    try running.child.writeInput(input)
    running.child.closeInput()
    return try running.finish(timeLimit: timeLimit)
}

/// Options that give capture and worker a thread and a CPU each, with the fast ring between them. Skips (or fails, see
/// `require`) the running test where there is only one CPU.
func pipeline() throws -> [String] {
    let status = String(decoding: try readFile("/proc/self/status"), as: UTF8.self)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
    let numbers = line.split { !$0.isNumber }.compactMap { Int($0) }
    let (first, last) = (numbers.first ?? 0, numbers.last ?? 0)
    try require(first != last, orSkip: "this test needs two CPUs")
    return ["--capture-cpus", "\(first)", "--worker-cpus", "\(last)"]
}

/// The two ways in which capture and worker share the machine.
enum Threading: String, CaseIterable, Sendable {
    case merged, pipelined

    /// Its options.
    func options() throws -> [String] {
        switch self {
        case .merged: ["--capture-cpus", "0", "--worker-cpus", "0"]
        case .pipelined: try pipeline()
        }
    }
}

/// Something a test relies on is not as it must be.
struct Unexpected: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Waits until something holds.
func waitUntil(_ what: String, timeLimit: Duration = .seconds(30), _ condition: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + timeLimit
    while try !condition() {
        guard ContinuousClock.now < deadline else { throw Unexpected("\(timeLimit) passed without: \(what)") }
        usleep(2000)
    }
}
