/// What `spillway generate` was told, each value understood.
///
/// A value that is nil was not given; what happens then is decided by who uses it.
public struct GenerateOptions: Sendable {
    /// The protocol over IP.
    public enum Transport: String, Sendable, CaseIterable { case udp, tcp }

    /// The version of IP.
    public enum Version: String, Sendable, CaseIterable {
        case four = "4"
        case six = "6"
    }

    /// Sizes of packets.
    public enum Size: Sendable, Equatable {
        /// Evenly spread between these bounds, both included.
        case range(ClosedRange<Int>)
        /// The usual mix of three sizes.
        case imix
    }

    /// How packets are fragmented.
    public enum Fragments: String, Sendable, CaseIterable {
        case inOrder = "in-order"
        case shuffled, overlapping, incomplete
    }

    /// The interface's name.
    public var interface: String
    /// How fast frames are sent; never `recorded`.
    public var rate: Pace?
    /// Packets after which it ends.
    public var count: UInt64?
    /// Nanoseconds after which it ends.
    public var duration: UInt64?
    /// The protocol over IP.
    public var transport: Transport?
    /// The version of IP.
    public var version: Version?
    /// Data segments of a TCP connection.
    public var segments: UInt32?
    /// Sizes of packets.
    public var size: Size?
    /// How many flows there are.
    public var flows: UInt32?
    /// VLAN identifiers, the outer one first.
    public var tags: [UInt16]?
    /// How packets are fragmented.
    public var fragments: Fragments?
    /// Bytes of IP payload in a fragment.
    public var fragmentSize: Int?
    /// The Ethernet address frames go to.
    public var destinationMAC: [UInt8]?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<GenerateOption>) throws(OptionError) {
        guard let interface = try settings.value(.interface, "the name of a network interface", Values.interface)
        else { throw OptionError("no interface: give -i INTERFACE") }
        self.interface = interface
        rate = try settings.value(.rate, "max, or a rate such as 100Kpps or 2.5Gbps (K, M, G: powers of 1000)") {
            text in
            Values.pace(text).flatMap { $0 == .recorded ? nil : $0 }
        }
        count = try settings.count(.count, 1...UInt64.max)
        duration = try settings.time(.duration, least: 1)
        transport = try settings.choice(.protocol)
        version = try settings.choice(.ip)
        segments = try settings.count(.segments, 1...1_000_000).map(UInt32.init)
        size = try settings.value(
            .size, "a number of bytes such as 64, a range such as 64-1500, or imix; at most 65597", Values.packetSize)
        flows = try settings.count(.flows, 1...1 << 20).map(UInt32.init)
        tags = try settings.value(.vlan, "one VLAN identifier from 0 to 4095, or two, such as 100,200", Values.tags)
        fragments = try settings.choice(.fragments)
        fragmentSize = try settings.value(.fragmentSize, "a multiple of 8 from 16 to 2960") { text in
            Values.count(text).flatMap { (16...2960).contains($0) && $0 % 8 == 0 ? Int($0) : nil }
        }
        destinationMAC = try settings.value(
            .destinationMAC, "an Ethernet address such as 02:00:5e:10:00:02", Values.hardwareAddress)
        report = try settings.path(.report)
        try checkTogether(settings)
    }

    /// What no value can be blamed for alone; a mistake on the command line, but fine in a file or an environment that
    /// several commands share.
    private func checkTogether(_ settings: LayeredSettings<GenerateOption>) throws(OptionError) {
        func refuse(_ option: GenerateOption, _ reason: String) throws(OptionError) {
            guard let setting = settings.last(option), setting.origin == .commandLine else { return }
            throw OptionError("\(setting.quotation): \(reason)")
        }
        if transport != .tcp { try refuse(.segments, "only with --protocol tcp; leave it out") }
        if fragments == nil { try refuse(.fragmentSize, "only with --fragments; leave it out") }
        if transport == .tcp, fragments != nil {
            throw OptionError(
                "\(settings.last(.fragments)!.quotation): only UDP is fragmented; leave out --protocol tcp")
        }
    }
}

extension Values {
    /// The name of an interface, as far as it can be wrong.
    static func interface(_ text: String) -> String? {
        let isPlain = !text.isEmpty && text.allSatisfy { !$0.isWhitespace && $0 != "/" && $0 != "\0" }
        return isPlain ? text : nil
    }

    /// `64`, `64-1500` or `imix`; bytes, at most those of an IPv6 packet behind two VLAN tags.
    static func packetSize(_ text: String) -> GenerateOptions.Size? {
        if text == "imix" { return .imix }
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { size(String($0)) }
        guard let first = ends[0], let last = ends[ends.count - 1], first > 0, first <= last, last <= 65_597
        else { return nil }
        return .range(first...last)
    }

    /// One or two VLAN identifiers.
    static func tags(_ text: String) -> [UInt16]? {
        let tags = text.split(separator: ",", omittingEmptySubsequences: false).map { count(String($0)) }
        guard tags.count <= 2 else { return nil }
        var identifiers: [UInt16] = []
        for tag in tags {
            guard let tag, tag < 4096 else { return nil }
            identifiers.append(UInt16(tag))
        }
        return identifiers
    }

    /// Six bytes in hexadecimal with colons between them.
    static func hardwareAddress(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.first != UInt8(ascii: "+") })
        else { return nil }
        let bytes = parts.compactMap { UInt8($0, radix: 16) }
        return bytes.count == 6 ? bytes : nil
    }
}
