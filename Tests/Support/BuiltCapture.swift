public import Testing

/// A packet as a test knows it: put into a generated capture, or found in one by any reader.
public struct SamplePacket: Hashable, Sendable {
    /// Nanoseconds since 1970; 0 where the format has no time.
    public var time: UInt64
    /// The length on the wire.
    public var original: UInt32
    /// The interface, counted over all sections.
    public var interface: UInt32
    /// The captured bytes.
    public var bytes: [UInt8]

    /// A packet from its parts.
    public init(time: UInt64, original: UInt32, interface: UInt32, bytes: [UInt8]) {
        self.time = time
        self.original = original
        self.interface = interface
        self.bytes = bytes
    }
}

/// A generated capture file and what is in it.
public struct BuiltCapture: Sendable, CustomTestStringConvertible {
    /// What is special about it.
    public let name: String
    /// The file.
    public let bytes: [UInt8]
    /// The packets in it, in their order.
    public let packets: [SamplePacket]
    /// For each packet the offset at which its record or block ends.
    public let packetEnds: [Int]
    /// All offsets at which a header, record or block ends, and 0; in increasing order.
    public let boundaries: [Int]
    /// For each section the number of interfaces it describes; one section with one interface for classic pcap.
    public let interfacesPerSection: [Int]
    /// Why tshark 4.0 reads it differently; nil when it does not.
    public var tsharkDiffers: String?

    /// The name, for test reports.
    public var testDescription: String { name }

    /// The packets that are whole in the first `count` bytes.
    public func packets(within count: Int) -> [SamplePacket] {
        zip(packets, packetEnds).filter { $0.1 <= count }.map(\.0)
    }

    /// The last boundary that is not beyond `offset`.
    public func boundary(before offset: Int) -> Int { boundaries.last { $0 <= offset } ?? 0 }
}

/// Bytes that look like nothing and differ from packet to packet, the same in every run.
public func sampleBytes(_ count: Int, seed: Int) -> [UInt8] {
    var state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 32)
    }
}
