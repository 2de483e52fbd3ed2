/// Every option of `spillway send` that has a value.
public enum SendOption: String, CommandOption {
    case to
    case rate
    case peerRate = "peer-rate"
    case timeout
    case tokenFile = "token-file"
    case report

    /// Whether it may be given several times.
    public var isRepeatable: Bool { self == .to }

    /// As people know it on the command line.
    public var spelling: String { "--\(rawValue)" }
}

/// What `spillway send` was told, each value understood. A value that is nil was not given.
public struct SendSettings: Sendable {
    /// The receivers, at least one.
    public var to: [Address]
    /// Bytes per second to all receivers together, and to each.
    public var rate: Int?, peerRate: Int?
    /// Nanoseconds without progress after which a receiver is given up.
    public var timeout: UInt64?
    /// The file with the token.
    public var tokenFile: String?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<SendOption>) throws(OptionError) {
        to = try settings.all(.to).map { setting throws(OptionError) in
            guard let address = Address.connecting(setting.text) else {
                throw OptionError(
                    "\(setting.quotation): write HOST:PORT, such as 192.0.2.7:57013 or [2001:db8::7]:57013")
            }
            return address
        }
        guard !to.isEmpty else { throw OptionError("nobody to send to: give --to HOST:PORT") }
        for (place, address) in to.enumerated() {
            guard to[..<place].contains(address) else { continue }
            throw OptionError("--to \(address): there twice; give each receiver once")
        }
        rate = try settings.size(.rate, 1024...Int.max)
        peerRate = try settings.size(.peerRate, 1024...Int.max)
        timeout = try settings.time(.timeout, least: 1_000_000)
        tokenFile = try settings.plainPath(.tokenFile)
        report = try settings.path(.report)
    }
}
