import Glibc

/// How a list of packets differs from the packets it should hold, as sets, whatever their order.
public struct PacketDifference: Equatable, Sendable, CustomStringConvertible {
    /// Packets that should be there and are not.
    public private(set) var missing: [SamplePacket] = []
    /// How many are there more than once, every further one counted.
    public private(set) var repeated = 0
    /// How many are there that should not be, or not like this.
    public private(set) var foreign = 0

    /// Compares `packets` with those `expected`, whose times must all differ.
    public init(_ packets: [SamplePacket], expected: [SamplePacket]) {
        var places: [UInt64: Int] = [:]
        for (place, packet) in expected.enumerated() { places[packet.time] = place }
        precondition(places.count == expected.count, "the expected packets have different times")
        var seen = [Bool](repeating: false, count: expected.count)
        for packet in packets {
            guard let place = places[packet.time], same(packet, expected[place]) else {
                foreign += 1
                continue
            }
            if seen[place] { repeated += 1 }
            seen[place] = true
        }
        missing = zip(expected, seen).filter { !$0.1 }.map(\.0)
    }

    /// Every packet is there once and no other.
    public var isNone: Bool { missing.isEmpty && repeated == 0 && foreign == 0 }

    /// The counts.
    public var description: String { "\(missing.count) missing, \(repeated) repeated, \(foreign) foreign" }
}

/// Equality, by memcmp(3) for the bytes because tests are built without optimisation.
private func same(_ left: SamplePacket, _ right: SamplePacket) -> Bool {
    guard left.original == right.original, left.interface == right.interface, left.bytes.count == right.bytes.count
    else { return false }
    return unsafe memcmp(left.bytes, right.bytes, left.bytes.count) == 0
}
