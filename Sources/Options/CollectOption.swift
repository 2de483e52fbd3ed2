/// Every option of `spillway collect` that has a value.
public enum CollectOption: String, CommandOption {
    case listen, out
    case rotateSize = "rotate-size"
    case rotateTime = "rotate-time"
    case ack
    case tokenFile = "token-file"
    case allow
    case metrics, report

    /// Whether it may be given several times.
    public var isRepeatable: Bool { self == .listen || self == .allow }

    /// As people know it on the command line.
    public var spelling: String { "--\(rawValue)" }
}
