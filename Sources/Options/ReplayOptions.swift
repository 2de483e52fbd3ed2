/// Every option of `spillway replay` that has a value.
public enum ReplayOption: String, CommandOption {
    case interface
    case to
    case pace, loop, count, transmit
    case tokenFile = "token-file"
    case name
    case drainTimeout = "drain-timeout"
    case report

    /// Whether it may be given several times.
    public var isRepeatable: Bool { self == .to }

    /// As people know it on the command line.
    public var spelling: String {
        switch self {
        case .interface: "-i"
        case .count: "-c"
        default: "--\(rawValue)"
        }
    }

    /// Packets go out of an interface or to destinations.
    public static var oneChoice: Set<ReplayOption> { [.interface, .to] }
}

/// What `spillway replay` was told, each value understood.
///
/// A value that is nil was not given; what happens then is decided by who uses it.
public struct ReplayOptions: Sendable {
    /// Where packets go.
    public enum Target: Sendable, Equatable {
        /// Out of an interface.
        case interface(String)
        /// To destinations over TCP.
        case destinations([Destination])
    }

    /// How fast packets go out of an interface.
    public enum Speed: Sendable, Equatable {
        /// As fast as it takes them.
        case top
        /// So many millionths of the recorded speed.
        case recorded(millionths: UInt64)
        case packetsPerSecond(UInt64)
        case bitsPerSecond(UInt64)
    }

    /// How frames get out.
    public enum Transmit: String, Sendable, CaseIterable {
        case auto
        case zeroCopy = "xdp-zerocopy"
        case copy = "xdp-copy"
        case packetSocket = "af-packet"
    }

    /// Capture files and cache directories; `-` is standard input.
    public var inputs: [String]
    /// Where packets go.
    public var target: Target
    /// How fast.
    public var speed: Speed?
    /// How often the inputs are gone through; 0 for without end.
    public var loops: UInt64?
    /// Packets after which it ends.
    public var count: UInt64?
    /// How frames get out.
    public var transmit: Transmit?
    /// The file with the token.
    public var tokenFile: String?
    /// The sensor's name.
    public var name: String?
    /// Nanoseconds without progress after which a destination is given up.
    public var drainTimeout: UInt64?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<ReplayOption>, inputs: [String]) throws(OptionError) {
        guard !inputs.isEmpty else {
            throw OptionError("nothing to replay: give capture files or the directory of a cache")
        }
        for input in inputs where !settings.isPath(input) { throw OptionError("'\(input)': write the path of a file") }
        guard inputs.filter({ $0 == "-" }).count <= 1 else { throw OptionError("-: standard input can be read once") }
        self.inputs = inputs
        let destinations = try settings.all(.to).map { setting throws(OptionError) in
            do throws(SpecificationError) { return try Destination(parsing: setting.text) } catch {
                throw OptionError("\(setting.quotation): \(error.reason)")
            }
        }
        if let interface = try settings.value(.interface, "the name of a network interface", Values.interface) {
            guard destinations.isEmpty else { throw OptionError("-i and --to: one of them; leave the other out") }
            target = .interface(interface)
        } else if !destinations.isEmpty {
            target = .destinations(destinations)
        } else {
            throw OptionError("nowhere to replay to: give -i INTERFACE or --to HOST:PORT")
        }
        speed = try settings.value(
            .pace, "recorded, a factor such as 2x or 0.5x, top, or a rate such as 100Kpps or 2.5Gbps", Values.speed)
        loops = try settings.count(.loop, 0...UInt64.max)
        count = try settings.count(.count, 1...UInt64.max)
        transmit = try settings.choice(.transmit)
        tokenFile = try settings.plainPath(.tokenFile)
        name = try settings.value(
            .name, "a name of 1 to 64 characters A-Z a-z 0-9 . _ - that does not begin with a dot"
        ) {
            Values.isName($0) ? $0 : nil
        }
        drainTimeout = try settings.time(.drainTimeout, least: 0)
        report = try settings.path(.report)
        try checkTogether(settings)
    }

    /// What no value can be blamed for alone; a mistake on the command line, but fine in a file or an environment that
    /// several commands share.
    private func checkTogether(_ settings: LayeredSettings<ReplayOption>) throws(OptionError) {
        let isWire: Bool
        if case .interface = target { isWire = true } else { isWire = false }
        let others: [ReplayOption] = isWire ? [.tokenFile, .name, .drainTimeout] : [.loop, .count, .transmit]
        for option in others {
            guard let setting = settings.last(option), setting.origin == .commandLine else { continue }
            throw OptionError(
                "\(setting.quotation): only with \(isWire ? "--to HOST:PORT" : "-i INTERFACE"); leave it out")
        }
        if loops != 1, loops != nil, inputs.contains("-") {
            throw OptionError("--loop: standard input can be read once; leave it out")
        }
    }
}

extension Values {
    /// `top`, `recorded`, a factor such as `2x` or `0.25x`, or a rate.
    static func speed(_ text: String) -> ReplayOptions.Speed? {
        if text.hasSuffix("x") {
            let factor = Quantity.parse(text.dropLast(), units: ["": 1_000_000])
            return factor.flatMap { (1...1_000_000_000_000).contains($0) ? .recorded(millionths: $0) : nil }
        }
        if text == "top" { return .top }
        switch pace(text) {
        case .max: return .top
        case .recorded: return .recorded(millionths: 1_000_000)
        case .packetsPerSecond(let rate): return .packetsPerSecond(rate)
        case .bitsPerSecond(let rate): return .bitsPerSecond(rate)
        case nil: return nil
        }
    }
}
