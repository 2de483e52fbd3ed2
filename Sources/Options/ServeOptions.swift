/// What `spillway serve` was told, each value understood.
///
/// A value that is nil was not given; what happens then is decided by who uses it.
public struct ServeOptions: Sendable {
    /// How bytes get from files into sockets.
    public enum Method: String, Sendable, CaseIterable { case sendfile, splice, mmap, copy }

    /// Where to listen; at least one.
    public var listen: [Address]
    /// How bytes get from files into sockets.
    public var method: Method?
    /// Event loops.
    public var threads: Int?
    /// The most threads that wait for the disk.
    public var helperThreads: Int?
    /// What clients have to know.
    public var token: String?
    /// Bytes per second of one client, and of all.
    public var clientRate: UInt64?, totalRate: UInt64?
    /// The most connections, and the most of one client.
    public var connections: Int?, clientConnections: Int?
    /// Nanoseconds for a head, between requests, without progress of a response, and at the end.
    public var headTimeout: UInt64?, idleTimeout: UInt64?, sendTimeout: UInt64?, drainTimeout: UInt64?
    /// Files up to this size are copied beside their head.
    public var copyBelow: Int?
    /// Where a line for each request goes; `-` is standard output.
    public var accessLog: String?
    /// Where to serve metrics.
    public var metrics: Address?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<ServeOption>) throws(OptionError) {
        let addresses = settings.all(.listen)
        guard !addresses.isEmpty else { throw OptionError("nowhere to listen: give --listen ADDR:PORT") }
        listen = try addresses.map { setting throws(OptionError) in
            guard let address = Address.listening(setting.text) else {
                throw OptionError("\(setting.quotation): write ADDR:PORT, such as 127.0.0.1:8080 or [::]:8080")
            }
            return address
        }
        method = try settings.choice(.method)
        threads = try settings.count(.threads, 1...1024).map(Int.init)
        helperThreads = try settings.count(.helperThreads, 1...1024).map(Int.init)
        token = try settings.value(.token, "at least 8 characters without blanks") { text in
            text.utf8.count >= 8 && text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? text : nil
        }
        let rate = "a rate such as 100Mbps (bits per second; K, M, G: powers of 1000)"
        clientRate = try settings.value(.clientRate, rate, Values.byteRate)
        totalRate = try settings.value(.totalRate, rate, Values.byteRate)
        connections = try settings.count(.connections, 1...1_000_000).map(Int.init)
        clientConnections = try settings.count(.clientConnections, 1...1_000_000).map(Int.init)
        headTimeout = try settings.time(.headTimeout, least: 1)
        idleTimeout = try settings.time(.idleTimeout, least: 1)
        sendTimeout = try settings.time(.sendTimeout, least: 1)
        drainTimeout = try settings.time(.drainTimeout, least: 0)
        copyBelow = try settings.size(.copyBelow, 0...64 << 10)
        accessLog = try settings.path(.accessLog)
        metrics = try settings.address(.metrics)
        report = try settings.path(.report)
    }
}

extension Values {
    /// Bytes per second out of bits per second: `100Mbps`.
    static func byteRate(_ text: String) -> UInt64? {
        guard case .bitsPerSecond(let rate)? = pace(text), rate >= 8000 else { return nil }
        return rate / 8
    }
}
