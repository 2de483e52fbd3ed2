public import Machine
public import Sending

/// How files are served.
public struct ServicePlan: Sendable {
    /// The directory, and nothing outside it.
    public var directory: String
    /// Where to listen.
    public var listen: [Endpoint]
    /// How bytes get into sockets.
    public var method = SendMethod.sendfile
    /// Event loops; nil means one for each CPU there is.
    public var loops: Int?
    /// Where all threads of the service run; nil means wherever the process may.
    public var cpus: CPUSet?
    /// The most threads that wait for the disk.
    public var helpers = 16
    /// What a client has to know, nil if anybody may ask.
    public var token: String?
    /// Bytes per second, of one address and of all together; nil means no limit.
    public var clientRate: UInt64?, totalRate: UInt64?
    /// The most connections, in all and of one address.
    public var connections = 1024, clientConnections = 256
    /// Nanoseconds a client may take for a head.
    public var headTimeout: UInt64 = 10_000_000_000
    /// Nanoseconds a connection may be idle between requests.
    public var idleTimeout: UInt64 = 60_000_000_000
    /// Nanoseconds a client may not take a byte of a response.
    public var sendTimeout: UInt64 = 60_000_000_000
    /// Nanoseconds that responses under way are given at the end.
    public var drainTimeout: UInt64 = 10_000_000_000
    /// Up to how many bytes a file is copied beside its head.
    public var smallest = SmallPayload.greatest
    /// Where a line for each request goes; `-` is standard output.
    public var accessLog: String?

    /// Serves a directory at these addresses, everything else by default.
    public init(directory: String, listen: [Endpoint]) {
        self.directory = directory
        self.listen = listen
    }
}
