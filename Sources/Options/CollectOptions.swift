/// What `spillway collect` was told, each value understood.
///
/// A value that is nil was not given; what happens then is decided by who uses it.
public struct CollectOptions: Sendable {
    /// When a batch is acknowledged.
    public enum Acknowledgement: String, Sendable, CaseIterable {
        /// When it is written to the journal.
        case received
        /// When the journal is synced as well.
        case durable
    }

    /// Where it listens, at least one.
    public var listen: [Address]
    /// The directory of the finished files.
    public var out: String
    /// Bytes from which on a file is finished.
    public var rotateSize: Int?
    /// Nanoseconds of packet time in one file.
    public var rotateTime: UInt64?
    /// When a batch is acknowledged.
    public var acknowledgement: Acknowledgement?
    /// The file with the token.
    public var tokenFile: String?
    /// Blocks of addresses that may connect, as written; who uses them checks them.
    public var allow: [(text: String, quotation: String)]
    /// Where metrics are served.
    public var metrics: Address?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<CollectOption>) throws(OptionError) {
        let addresses = try settings.all(.listen).map { setting throws(OptionError) in
            guard let address = Address.listening(setting.text, defaultPort: 57012) else {
                throw OptionError("\(setting.quotation): write ADDR:PORT, such as 127.0.0.1:57012 or [::]:57012")
            }
            return address
        }
        guard !addresses.isEmpty else { throw OptionError("nowhere to listen: give --listen ADDR:PORT") }
        for (place, address) in addresses.enumerated() where address.port != 0 {
            guard addresses[..<place].contains(address) else { continue }
            throw OptionError("--listen \(address): there twice; give each address once")
        }
        let wanted = "the path of a directory"
        guard let out = try settings.value(.out, wanted, { $0.isEmpty || $0.utf8.contains(0) ? nil : $0 }) else {
            throw OptionError("no directory for the files: give --out DIR")
        }
        (listen, self.out) = (addresses, out)
        rotateSize = try settings.size(.rotateSize, 4096...1 << 40)
        rotateTime = try settings.time(.rotateTime, least: 1_000_000_000)
        acknowledgement = try settings.choice(.ack)
        tokenFile = try settings.value(.tokenFile, "the path of a file of 32 bytes") {
            $0.isEmpty || $0.utf8.contains(0) ? nil : $0
        }
        allow = settings.all(.allow).flatMap { setting in
            setting.text.split(separator: ",", omittingEmptySubsequences: false).map {
                (String($0), setting.quotation)
            }
        }
        metrics = try settings.address(.metrics)
        report = try settings.path(.report)
    }
}
