public import Machine
public import Tokens

/// What a receiver is to do.
public struct ReceiveOptions: Sendable {
    /// Where it listens, at least one.
    public var listen: [Endpoint]
    /// The directory of the files; it is made if it is not there.
    public var directory: String
    /// The secret that senders must share; nil takes everybody.
    public var token: Token?
    /// Who may connect; everybody if it is empty.
    public var allow: [Subnet] = []
    /// Whether senders may have it pass on what they send to other receivers, which makes it connect to addresses that they name. Those
    /// that share a token may in any case.
    public var passesOn = false
    /// Whether files and names are on disk before the sender is told that they are there.
    public var isDurable = false
    /// Whether it ends with the first sender that says it has sent everything.
    public var endsAfterFirst = false
    /// Nanoseconds without a byte after which a connection is closed.
    public var timeout: UInt64 = 60_000_000_000

    /// Options with the defaults given above.
    public init(listen: [Endpoint], directory: String) {
        self.listen = listen
        self.directory = directory
    }
}

/// Why a receiver cannot start, or has to end.
public enum ReceiveError: Error, Sendable, CustomStringConvertible {
    /// The directory cannot be made or written.
    case cannotCreate(SystemError)
    /// It cannot listen there.
    case cannotListen(SystemError)
    /// Another receiver works in the directory.
    case inUse(String)
    /// The kernel refused something else.
    case kernel(SystemError)
    /// The one file that was waited for did not come, or not whole.
    case notReceived(String)

    /// One line that names what and where.
    public var description: String {
        switch self {
        case .cannotCreate(let error), .cannotListen(let error), .kernel(let error): "\(error)"
        case .inUse(let text), .notReceived(let text): text
        }
    }
}

/// Limits of a receiver (docs/send-format.md, "Limits").
enum ReceiveLimit {
    /// Connections in all, and those that have not proved anything.
    static let connections = 256, unproven = 64
    /// Bytes of a message before the proof, and nanoseconds until it.
    static let greetingBytes = 4096
    static let greetingTime: UInt64 = 5_000_000_000
    /// Receivers that one connection is passed on to.
    static let forwarders = 16
    /// Files of a connection at once, and their pieces together.
    static let files = 128
    static let pieces: UInt64 = 1 << 21
    /// Bytes that may wait for a peer that does not read.
    static let waitingBytes = 4 << 20
    /// Bytes taken from a connection before it is another one's turn.
    static let turnBytes = 8 << 20
}
