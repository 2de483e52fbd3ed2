/// How a run ends, for scripts (sysexits.h).
public enum ExitCode: Int32, Sendable {
    case done = 0
    case findings = 1
    case usage = 64
    case badData = 65
    case noInput = 66
    case unavailable = 69
    case kernel = 71
    case cannotCreate = 73
    case inputOutput = 74
    case notPermitted = 77
}

/// A run that cannot start or has to end: what and where, and the exit code that says which kind it is.
public struct RelayError: Error, Sendable, CustomStringConvertible {
    /// The process's exit status.
    public let code: ExitCode
    /// One line that names what and where.
    public let message: String

    /// An error.
    public init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    public var description: String { message }
}
