internal import Glibc
public import Machine
public import Tokens

/// How files are sent.
public struct SendOptions: Sendable {
    /// The secret that receivers must share; nil asks for none.
    public var token: Token?
    /// Bytes per second to all peers together, and to each of them; 0 is no limit.
    public var rate: UInt64 = 0, peerRate: UInt64 = 0
    /// Nanoseconds without progress after which a peer is given up. Until then it is tried again.
    public var timeout: UInt64 = 30_000_000_000

    /// No token, no limits, 30 s.
    public init() {}
}

/// Why something cannot be sent.
public enum SendError: Error, Sendable, CustomStringConvertible {
    /// There is no such file.
    case missing(String)
    /// It may not be read.
    case notPermitted(String)
    /// It is something that cannot be sent.
    case unsuitable(String)
    /// Reading failed.
    case inputOutput(String)
    /// The kernel refused something else.
    case kernel(SystemError)

    init(_ path: String, _ code: Int32) {
        let text = "\(path): \(reason(code))"
        switch code {
        case ENOENT, ENOTDIR: self = .missing(text)
        case EACCES, EPERM: self = .notPermitted(text)
        default: self = .inputOutput(text)
        }
    }

    /// One line that names what and why.
    public var description: String {
        switch self {
        case .missing(let text), .notPermitted(let text), .unsuitable(let text), .inputOutput(let text): text
        case .kernel(let error): "\(error)"
        }
    }
}
