/// A number for the conversation a packet belongs to: the same for both directions, and for each fragment of a datagram.
///
/// A conversation is everything that two addresses exchange. Ports are left out on purpose: later fragments have none, and
/// would otherwise go another way than the rest. VLAN tags and labels are left out, too, since the directions may differ in
/// them. Packets that carry no IP go by their two Ethernet addresses; all others have one number in common.
public enum FlowHash {
    /// The number of a packet, uniform over 32 bits.
    ///
    /// - Parameters:
    ///   - bytes: the packet.
    ///   - captured: bytes there are; more than its IP header is not looked at.
    ///   - linkType: what they begin with (LINKTYPE_ number).
    ///   - seed: drawn once per run, so that nobody outside can aim at one destination.
    @_noLocks
    public static func of(_ bytes: UnsafeRawPointer, captured: Int, linkType: UInt16, seed: UInt64) -> UInt32 {
        let packet = unsafe PacketBytes(bytes, count: captured)
        let link = LinkHeader(packet, linkType: linkType)
        switch link.etherType {
        case 0x0800:
            guard let header = IPv4Header(packet, at: link.length) else { break }
            return mixed(0, header.source, 0, header.destination, seed)
        case 0x86DD:
            guard let header = IPv6Header(packet, at: link.length) else { break }
            let (source, destination) = (header.source, header.destination)
            return mixed(source.high, source.low, destination.high, destination.low, seed)
        default: break
        }
        guard linkType == 1, packet.has(12, at: 0) else { return mixed(0, 0, 0, 0, seed) }
        let receiver = UInt64(packet.word32(0)) << 16 | UInt64(packet.number16(4))
        let sender = UInt64(packet.word32(6)) << 16 | UInt64(packet.number16(10))
        return mixed(0, sender, 0, receiver, seed)
    }

    /// Each address is mixed alone, and the sum of both does not depend on their order.
    @_noLocks @inline(__always)
    private static func mixed(
        _ oneHigh: UInt64, _ oneLow: UInt64, _ otherHigh: UInt64, _ otherLow: UInt64, _ seed: UInt64
    ) -> UInt32 {
        let one = scramble(oneLow ^ scramble(oneHigh ^ seed))
        let other = scramble(otherLow ^ scramble(otherHigh ^ seed))
        return UInt32(truncatingIfNeeded: scramble(one &+ other) >> 32)
    }

    /// The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
    @_noLocks @inline(__always)
    private static func scramble(_ word: UInt64) -> UInt64 {
        var mixed = word &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
