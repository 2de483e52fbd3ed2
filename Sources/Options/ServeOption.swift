/// Every option of `spillway serve` that has a value.
public enum ServeOption: String, CommandOption {
    case listen, method, threads
    case helperThreads = "helper-threads"
    case token
    case clientRate = "client-rate"
    case totalRate = "rate"
    case connections
    case clientConnections = "client-connections"
    case headTimeout = "head-timeout"
    case idleTimeout = "idle-timeout"
    case sendTimeout = "send-timeout"
    case drainTimeout = "drain-timeout"
    case copyBelow = "copy-below"
    case accessLog = "access-log"
    case metrics, report

    /// Only addresses may be given several times.
    public var isRepeatable: Bool { self == .listen }

    /// As people know it on the command line.
    public var spelling: String { "--\(rawValue)" }
}
