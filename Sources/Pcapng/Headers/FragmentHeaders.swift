/// What the headers of a fragment say: which datagram it belongs to, where in it, and where things lie in the frame.
///
/// IPv4 (RFC 791) and IPv6 (RFC 8200, section 4.5). Offsets count from the frame's first byte. Addresses are two words
/// whose bytes in memory stand in network order, IPv4 as ::ffff:a.b.c.d.
public struct FragmentHeaders: BitwiseCopyable, Sendable {
    /// 4 or 6.
    public private(set) var version: UInt8 = 0
    /// IPv4: the protocol of the datagram. IPv6: what the fragment header says comes next in it.
    public private(set) var protocolNumber: UInt8 = 0
    /// VLAN tags before the network layer, and identifiers of the outer and the next one.
    public private(set) var vlanCount: UInt8 = 0
    public private(set) var outerVLAN: UInt16 = 0, innerVLAN: UInt16 = 0
    /// Whether more fragments follow this one.
    public private(set) var moreFragments = false
    /// Whether an IPv6 fragment header follows another one.
    public private(set) var isNested = false
    /// Whether the capture ends before the fragment does.
    public private(set) var isCut = false
    /// What all fragments of the datagram share.
    public private(set) var identification: UInt32 = 0
    /// Where the fragment's data belongs in the datagram's, in bytes; a multiple of 8.
    public private(set) var offset: Int32 = 0
    /// Bytes of the fragment's data as its header has it; negative or 0 where the header makes no sense.
    public private(set) var dataLength: Int32 = 0
    /// Where the fragment's data begins in the frame.
    public private(set) var dataStart: Int32 = 0
    /// Where the IP header begins.
    public private(set) var networkOffset: Int32 = 0
    /// IPv6: where the number stands that announces the fragment header.
    public private(set) var announcement: Int32 = 0
    /// Where LLC and SNAP stand, 8 bytes, with a length where the EtherType would be; 0 if nowhere.
    public private(set) var snapPlace: Int32 = 0
    /// Where the EtherType stands, or that length.
    public private(set) var typePlace: Int32 = 0
    /// Where the PPPoE header stands, plus 1; 0 if there is none.
    public private(set) var sessionPlace: Int32 = 0
    /// The source address, first and second half.
    public private(set) var sourceHigh: UInt64 = 0, sourceLow: UInt64 = 0
    /// The destination address, first and second half.
    public private(set) var destinationHigh: UInt64 = 0, destinationLow: UInt64 = 0

    /// An IPv6 packet with a fragment header that is whole nevertheless (RFC 6946).
    public var isAtomic: Bool {
        @_noLocks @inlinable get { offset == 0 && !moreFragments }
    }

    /// Where the headers end that the whole datagram has too: before the IPv6 fragment header.
    public var headerEnd: Int32 {
        @_noLocks @inlinable get { version == 4 ? dataStart : dataStart &- 8 }
    }

    /// Whether a look at a few bytes tells that this is no fragment: true for nearly all of Ethernet. Where it is false,
    /// `init` decides.
    @_noLocks @inlinable @inline(__always)
    public static func isSurelyWhole(_ bytes: UnsafeRawPointer, captured: UInt32, linkType: UInt16) -> Bool {
        guard linkType == 1, captured >= 34 else { return false }
        switch UInt16(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 12, as: UInt16.self)) {
        case 0x0800:
            return UInt16(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 20, as: UInt16.self)) & 0x3FFF == 0
        case 0x86DD:
            // TCP, UDP or ICMPv6 right behind the IPv6 header.
            let next = unsafe bytes.load(fromByteOffset: 20, as: UInt8.self)
            return next == 6 || next == 17 || next == 58
        default:
            return false
        }
    }

    /// The headers of nothing.
    @_noLocks public init() {}

    /// Reads the headers of a fragment; nil for a packet that is none. Never looks beyond `captured`.
    @_noLocks
    public init?(_ bytes: UnsafeRawPointer, captured: Int, linkType: UInt16) {
        let packet = unsafe PacketBytes(bytes, count: captured)
        let link = LinkHeader(packet, linkType: linkType)
        let isFragment: Bool
        switch link.etherType {
        case 0x0800: isFragment = readIPv4(packet, at: link.length)
        case 0x86DD: isFragment = readIPv6(packet, at: link.length)
        default: isFragment = false
        }
        guard isFragment else { return nil }
        vlanCount = link.vlanCount
        (outerVLAN, innerVLAN) = (link.outerVLAN, link.innerVLAN)
        networkOffset = Int32(truncatingIfNeeded: link.length)
        snapPlace = Int32(truncatingIfNeeded: link.snapPlace)
        typePlace = Int32(truncatingIfNeeded: link.typePlace)
        sessionPlace = Int32(truncatingIfNeeded: link.sessionPlace)
        isCut = Int(dataStart) + Int(dataLength) > captured
    }

    @_noLocks @inline(__always)
    private mutating func readIPv4(_ packet: PacketBytes, at start: Int) -> Bool {
        guard let header = IPv4Header(packet, at: start), header.moreFragments || header.fragmentOffset != 0
        else { return false }
        version = 4
        (sourceLow, destinationLow) = (header.source, header.destination)
        identification = header.identification
        protocolNumber = header.protocolNumber
        moreFragments = header.moreFragments
        place(offset: header.fragmentOffset, start: start + header.length, length: header.totalLength - header.length)
        return true
    }

    @_noLocks @inline(__always)
    private mutating func readIPv6(_ packet: PacketBytes, at start: Int) -> Bool {
        guard let header = IPv6Header(packet, at: start) else { return false }
        let first = start + IPv6Header.length
        let chain = IPv6Extensions(packet.cut(to: header.end), from: first, first: header.nextHeader)
        guard chain.hasFragmentHeader else { return false }
        version = 6
        (sourceHigh, sourceLow) = header.source
        (destinationHigh, destinationLow) = header.destination
        identification = chain.identification
        moreFragments = chain.moreFragments
        isNested = chain.isNested
        protocolNumber = packet.byte(chain.fragmentHeader)
        announcement = Int32(truncatingIfNeeded: chain.announcement)
        let data = chain.fragmentHeader + 8
        place(offset: chain.fragmentOffset, start: data, length: first + header.payloadLength - data)
        return true
    }

    @_noLocks @inline(__always)
    private mutating func place(offset: Int, start: Int, length: Int) {
        self.offset = Int32(truncatingIfNeeded: offset)
        dataStart = Int32(truncatingIfNeeded: start)
        dataLength = Int32(truncatingIfNeeded: length)
    }
}
