/// Every option of `spillway receive` that has a value.
public enum ReceiveOption: String, CommandOption {
    case listen, out
    case tokenFile = "token-file"
    case allow
    case passOn = "pass-on"
    case timeout, sync, once, report

    /// Whether it may be given several times.
    public var isRepeatable: Bool { self == .listen || self == .allow }

    /// As people know it on the command line.
    public var spelling: String { "--\(rawValue)" }
}

/// What `spillway receive` was told, each value understood. A value that is nil was not given.
public struct ReceiveSettings: Sendable {
    /// Where it listens, at least one.
    public var listen: [Address]
    /// The directory of the files.
    public var out: String
    /// The file with the token.
    public var tokenFile: String?
    /// Blocks of addresses that may connect, as written; who uses them checks them.
    public var allow: [(text: String, quotation: String)]
    /// Nanoseconds of silence after which a connection is closed.
    public var timeout: UInt64?
    /// Whether senders without a token may have it pass on what they send.
    public var passOn: Bool?
    /// Whether files are on disk before the sender hears of them.
    public var sync: Bool?
    /// Whether it ends with the first sender that has sent everything.
    public var once: Bool?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<ReceiveOption>) throws(OptionError) {
        listen = try settings.all(.listen).map { setting throws(OptionError) in
            guard let address = Address.listening(setting.text, defaultPort: 57013) else {
                throw OptionError("\(setting.quotation): write ADDR:PORT, such as 127.0.0.1:57013 or [::]:57013")
            }
            return address
        }
        guard !listen.isEmpty else { throw OptionError("nowhere to listen: give --listen ADDR:PORT") }
        for (place, address) in listen.enumerated() where address.port != 0 {
            guard listen[..<place].contains(address) else { continue }
            throw OptionError("--listen \(address): there twice; give each address once")
        }
        guard let folder = try settings.value(.out, "the path of a directory", { settings.isPath($0) ? $0 : nil })
        else { throw OptionError("no directory for the files: give --out DIR") }
        out = folder
        tokenFile = try settings.plainPath(.tokenFile)
        allow = settings.all(.allow).flatMap { setting in
            setting.text.split(separator: ",", omittingEmptySubsequences: false).map {
                (String($0), setting.quotation)
            }
        }
        timeout = try settings.time(.timeout, least: 1_000_000)
        passOn = try settings.flag(.passOn)
        sync = try settings.flag(.sync)
        once = try settings.flag(.once)
        report = try settings.path(.report)
    }
}
