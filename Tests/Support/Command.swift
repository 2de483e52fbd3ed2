/// How a child process ended.
public enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    /// It exited with this code.
    case exited(Int32)
    /// This signal ended it.
    case signalled(Int32)

    /// Takes apart the status word of waitpid(2), whose macros Swift does not see.
    init(waitStatus raw: CInt) {
        self = raw & 0x7f == 0 ? .exited(raw >> 8 & 0xff) : .signalled(raw & 0x7f)
    }

    /// "exit 65" or "signal 9".
    public var description: String {
        switch self {
        case .exited(let code): "exit \(code)"
        case .signalled(let signal): "signal \(signal)"
        }
    }
}

/// How a command ended and what it wrote.
public struct CommandResult: Sendable {
    /// The command line, for messages.
    public let commandLine: String
    /// How it ended.
    public let status: ExitStatus
    /// All it wrote to its standard output.
    public let output: [UInt8]
    /// All it wrote to its standard error.
    public let errors: [UInt8]

    /// The standard output as text.
    public var outputText: String { String(decoding: output, as: UTF8.self) }
    /// The standard error as text.
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
    /// The lines of the standard output, empty ones included, without a last empty one.
    public var outputLines: [String] {
        var lines = outputText.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        return lines
    }

    /// Returns itself when the command exited with 0.
    ///
    /// - Throws: `CommandProblem` with what the command wrote to its standard error otherwise.
    @discardableResult
    public func checked() throws -> CommandResult {
        guard status == .exited(0) else { throw CommandProblem("\(commandLine): \(status)\n\(errorText)") }
        return self
    }
}

/// A command could not be run, failed where it must not, or took too long.
public struct CommandProblem: Error, CustomStringConvertible {
    /// The command and what went wrong, with its output where that helps.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// Runs a command to its end.
///
/// - Parameters:
///   - tool: a name looked up like the shell does, or a path.
///   - input: what the command reads from its standard input, through a pipe.
///   - environment: variables to set on top of this process's own; nil as value removes one.
///   - directory: the working directory of the command; nil keeps this process's.
///   - timeLimit: after this time the command and all its children are killed.
/// - Returns: how it ended and what it wrote; a command that fails is not an error here, see `checked()`.
/// - Throws: `CommandProblem` when the command cannot be started or does not end in time.
public func run(
    _ tool: String, _ arguments: [String] = [], input: [UInt8] = [], environment: [String: String?] = [:],
    directory: String? = nil, timeLimit: Duration = .seconds(60)
) throws -> CommandResult {
    try withChild(tool, arguments, environment: environment, directory: directory) { child in
        try child.finish(feeding: input, timeLimit: timeLimit)
    }
}
