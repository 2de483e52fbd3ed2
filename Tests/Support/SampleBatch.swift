/// A run as a test plays it: its identity and its interfaces. Made from docs/format.md, not with the product's code.
public struct SampleRun: Hashable, Sendable {
    /// The identity.
    public let identity: [UInt8]
    /// Whole Interface Description Blocks.
    public private(set) var interfaces: [[UInt8]] = []

    /// A run of which every byte of the identity depends on `seed`, with interfaces eth0, eth1, ...
    public init(seed: Int, interfaces count: Int = 1, linkType: UInt16 = 1) {
        identity = sampleBytes(16, seed: seed &+ 7_919)
        for number in 0..<count { add(interface: "eth\(number)", linkType: linkType) }
    }

    /// One more interface.
    public mutating func add(interface name: String, linkType: UInt16 = 1) {
        var body = ByteWriter(.little)
        body.number(linkType)
        body.number(UInt16(0))
        body.number(UInt32(262_144))
        for (code, value) in [(UInt16(2), Array(name.utf8)), (9, [9])] {
            body.number(code)
            body.number(UInt16(value.count))
            body.padded(value)
        }
        body.number(UInt32(0))
        interfaces.append(sampleBlock(1, body.bytes))
    }

    /// The lane block of a lane that is everybody's.
    public func lane(_ number: UInt16) -> [UInt8] {
        var body = ByteWriter(.little)
        for field in [1, number, 0, 0] as [UInt16] { body.number(field) }
        body.raw(identity)
        return sampleBlock(0x8053_504c, body.bytes)
    }
}

/// A block of this type and body.
public func sampleBlock(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
    var block = ByteWriter(.little)
    let length = UInt32(body.count + 12)
    block.number(type)
    block.number(length)
    block.raw(body)
    block.number(length)
    return block.bytes
}

/// A batch as a test plays it.
public struct SampleBatch: Hashable, Sendable {
    /// The whole batch.
    public let bytes: [UInt8]
    /// Its packets.
    public let packets: [SamplePacket]
    /// Its run.
    public let run: SampleRun
    /// Its worker, lane and number.
    public let worker: UInt16, lane: UInt16, number: UInt64

    /// A batch of these packets. Arrivals are the packets' times plus one second, unless given.
    public init(
        _ packets: [SamplePacket], run: SampleRun, worker: UInt16 = 0, lane: UInt16 = 0, number: UInt64,
        arrival: UInt64? = nil
    ) {
        var records = ByteWriter(.little)
        for packet in packets { records.raw(Self.record(packet)) }
        let times = packets.map(\.time)
        var trailer = ByteWriter(.little)
        trailer.number(UInt32(0x8053_5054))
        trailer.number(UInt32(96))
        for field in [1, 0, worker, lane] { trailer.number(field) }
        trailer.raw(run.identity)
        trailer.number(number)
        for field in [packets.count, packets.count, records.bytes.count] { trailer.number(UInt32(field)) }
        trailer.number(referenceCRC32C(run.interfaces.flatMap(\.self)))
        trailer.number(times.min() ?? 0)
        trailer.number(times.max() ?? 0)
        trailer.number(arrival ?? (times.min() ?? 0) &+ 1_000_000_000)
        trailer.number(arrival ?? (times.max() ?? 0) &+ 1_000_000_000)
        trailer.number(referenceCRC32C(records.bytes + trailer.bytes))
        trailer.number(UInt32(96))
        bytes = records.bytes + trailer.bytes
        (self.packets, self.run) = (packets, run)
        (self.worker, self.lane, self.number) = (worker, lane, number)
    }

    /// A packet as a record.
    public static func record(_ packet: SamplePacket) -> [UInt8] {
        var body = ByteWriter(.little)
        body.number(packet.interface)
        body.number(UInt32(packet.time >> 32))
        body.number(UInt32(truncatingIfNeeded: packet.time))
        body.number(UInt32(packet.bytes.count))
        body.number(packet.original)
        body.padded(packet.bytes)
        return sampleBlock(6, body.bytes)
    }
}
