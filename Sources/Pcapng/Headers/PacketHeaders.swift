/// What the headers of a packet say: addresses, ports, and where things lie.
///
/// All offsets count from the packet's first byte. Addresses are two words whose bytes in memory stand in
/// network order, IPv4 as ::ffff:a.b.c.d, like those of `Endpoint`. The bytes of a packet that carries no IP,
/// or ends inside the IP header, give version 0; everything else then means nothing.
public struct PacketHeaders: BitwiseCopyable, Sendable {
    /// 4 or 6, or 0 for a packet without a readable IP header.
    public private(set) var version: UInt8 = 0
    /// The protocol above IP, behind all extension headers (IANA protocol numbers).
    public private(set) var protocolNumber: UInt8 = 0
    /// VLAN tags before the network layer.
    public private(set) var vlanCount: UInt8 = 0
    /// Whether there is a transport header with ports, and `sourcePort` and `destinationPort` tell them.
    public private(set) var hasPorts = false
    /// Whether more fragments follow this one.
    public private(set) var moreFragments = false
    /// Whether an IPv6 fragment header is there; an atomic fragment (RFC 6946) has one too.
    public private(set) var hasFragmentHeader = false
    /// Identifiers of the outer and the next VLAN, 0 where `vlanCount` is less.
    public private(set) var outerVLAN: UInt16 = 0, innerVLAN: UInt16 = 0
    /// Ports of TCP, UDP, SCTP, DCCP and UDP-Lite.
    public private(set) var sourcePort: UInt16 = 0, destinationPort: UInt16 = 0
    /// Where the data of this fragment belongs in its datagram, in bytes; 0 for a first or only fragment.
    public private(set) var fragmentOffset: UInt16 = 0
    /// The identification that all fragments of a datagram share; for IPv6 0 without a fragment header.
    public private(set) var identification: UInt32 = 0
    /// Where the IP header begins.
    public private(set) var networkOffset: Int32 = 0
    /// Where the transport header begins, in a later fragment where its data begins; 0 if the headers before
    /// it were not captured whole.
    public private(set) var transportOffset: Int32 = 0
    /// Where the IP packet ends: no later than the captured bytes, and before any padding of the link layer.
    public private(set) var networkEnd: Int32 = 0
    /// The source address, first and second half.
    public private(set) var sourceHigh: UInt64 = 0, sourceLow: UInt64 = 0
    /// The destination address, first and second half.
    public private(set) var destinationHigh: UInt64 = 0, destinationLow: UInt64 = 0

    /// Whether the packet is only a part of a datagram.
    public var isFragment: Bool {
        @_noLocks @inlinable get { moreFragments || fragmentOffset != 0 }
    }

    /// Reads the headers of a packet. Never looks beyond `captured`.
    ///
    /// - Parameters:
    ///   - bytes: the packet.
    ///   - captured: bytes there are.
    ///   - linkType: what they begin with (LINKTYPE_ number).
    @_noLocks
    public init(_ bytes: UnsafeRawPointer, captured: Int, linkType: UInt16) {
        let packet = unsafe PacketBytes(bytes, count: captured)
        let link = LinkHeader(packet, linkType: linkType)
        vlanCount = link.vlanCount
        outerVLAN = link.outerVLAN
        innerVLAN = link.innerVLAN
        switch link.etherType {
        case 0x0800: readIPv4(packet, at: link.length)
        case 0x86DD: readIPv6(packet, at: link.length)
        default: return
        }
    }

    /// The headers of the packet that an ICMP or ICMPv6 error quotes (RFC 792, RFC 4443); version 0 if this
    /// packet is no such error. `networkOffset` and the others count from the first byte of the whole packet.
    ///
    /// - Parameters:
    ///   - bytes: the packet from which `self` was read.
    ///   - captured: bytes there are.
    @_noLocks
    public func quoted(_ bytes: UnsafeRawPointer, captured: Int) -> PacketHeaders {
        // What lies behind the end of the error message is not part of it.
        let packet = unsafe PacketBytes(bytes, count: min(captured, Int(networkEnd)))
        let start = Int(transportOffset)
        guard start != 0, fragmentOffset == 0, packet.has(8, at: start) else { return PacketHeaders() }
        let type = packet.byte(start)
        var inner = PacketHeaders()
        switch protocolNumber {
        case 1 where type == 3 || type == 4 || type == 5 || type == 11 || type == 12:
            inner.readIPv4(packet, at: start + 8)
        case 58 where type < 128:
            inner.readIPv6(packet, at: start + 8)
        default:
            break
        }
        return inner
    }

    @_noLocks
    private init() {}

    @_noLocks @inline(__always)
    private mutating func readIPv4(_ packet: PacketBytes, at start: Int) {
        guard let header = IPv4Header(packet, at: start) else { return }
        version = 4
        (sourceLow, destinationLow) = (header.source, header.destination)
        identification = header.identification
        fragmentOffset = UInt16(truncatingIfNeeded: header.fragmentOffset)
        moreFragments = header.moreFragments
        protocolNumber = header.protocolNumber
        readTransport(packet, from: start, at: start + header.length, end: header.end)
    }

    @_noLocks @inline(__always)
    private mutating func readIPv6(_ packet: PacketBytes, at start: Int) {
        guard let header = IPv6Header(packet, at: start) else { return }
        version = 6
        (sourceHigh, sourceLow) = header.source
        (destinationHigh, destinationLow) = header.destination
        let inside = packet.cut(to: header.end)
        let chain = IPv6Extensions(inside, from: start + IPv6Header.length, first: header.nextHeader)
        protocolNumber = chain.protocolNumber
        hasFragmentHeader = chain.hasFragmentHeader
        fragmentOffset = UInt16(truncatingIfNeeded: chain.fragmentOffset)
        moreFragments = chain.moreFragments
        identification = chain.identification
        if chain.isComplete {
            readTransport(packet, from: start, at: chain.end, end: header.end)
        } else {
            networkOffset = Int32(truncatingIfNeeded: start)
            networkEnd = Int32(truncatingIfNeeded: header.end)
        }
    }

    @_noLocks @inline(__always)
    private mutating func readTransport(_ packet: PacketBytes, from network: Int, at start: Int, end: Int) {
        networkOffset = Int32(truncatingIfNeeded: network)
        transportOffset = Int32(truncatingIfNeeded: start)
        networkEnd = Int32(truncatingIfNeeded: end)
        guard fragmentOffset == 0, start + 4 <= end else { return }
        switch protocolNumber {
        case 6, 17, 33, 132, 136:
            hasPorts = true
            sourcePort = packet.number16(start)
            destinationPort = packet.number16(start + 2)
        default:
            return
        }
    }
}
