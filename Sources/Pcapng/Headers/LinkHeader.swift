/// What stands before the network layer: how long it is, what follows, and the VLANs on the way.
///
/// Followed: Ethernet with any stack of VLAN tags (IEEE 802.1Q, 802.1ad and the older 0x9100), LLC/SNAP, MPLS
/// (RFC 3032) and PPPoE (RFC 2516); BSD loopback; Linux cooked captures of both versions; PPP, PPPoE and Cisco HDLC
/// without Ethernet; bare IP. Link types as in the tcpdump.org LINKTYPE registry.
struct LinkHeader: BitwiseCopyable {
    /// Where the network layer begins.
    var length = 0
    /// The EtherType of what begins there: 0x0800 or 0x86DD; 0 for anything else.
    var etherType: UInt16 = 0
    /// VLAN tags on the way.
    var vlanCount: UInt8 = 0
    /// Identifiers of the first and the second VLAN.
    var outerVLAN: UInt16 = 0
    var innerVLAN: UInt16 = 0
    /// Where LLC and SNAP (RFC 1042) stand, 8 bytes; 0 if nowhere.
    var snapPlace = 0
    /// Where the EtherType stands, or the length in its place if there is SNAP.
    var typePlace = 0
    /// Where the PPPoE header stands, plus 1; 0 if there is none.
    var sessionPlace = 0

    private enum Field {
        static var ethernetType: Int { @_noLocks get { 12 } }
        static var ethernetLength: Int { @_noLocks get { 14 } }
        static var cookedType: Int { @_noLocks get { 14 } }
        static var cookedLength: Int { @_noLocks get { 16 } }
        static var cooked2Length: Int { @_noLocks get { 20 } }
        static var familyLength: Int { @_noLocks get { 4 } }
        static var tagLength: Int { @_noLocks get { 4 } }
    }
    /// Tags and labels beyond these are taken for nonsense.
    private static var tagLimit: Int { @_noLocks get { 16 } }

    /// Reads the link layer. `etherType` stays 0 where the packet ends too early or carries no IP.
    @_noLocks @inline(__always)
    init(_ packet: PacketBytes, linkType: UInt16) {
        switch linkType {
        case 1: readEthernet(packet)
        case 0, 108: readFamily(packet)
        case 113:
            guard packet.has(Field.cookedLength, at: 0) else { return }
            (length, typePlace) = (Field.cookedLength, Field.cookedType)
            follow(packet.number16(Field.cookedType), packet)
        case 276:
            guard packet.has(Field.cooked2Length, at: 0) else { return }
            length = Field.cooked2Length
            follow(packet.number16(0), packet)
        case 9, 50: readPPP(packet)
        case 51: readSession(packet)
        case 104:
            // Cisco HDLC: address, control, EtherType.
            guard packet.has(4, at: 0) else { return }
            (length, typePlace) = (4, 2)
            follow(packet.number16(2), packet)
        case 12, 14, 101: readVersion(packet)
        case 228: etherType = 0x0800
        case 229: etherType = 0x86DD
        default: return
        }
    }

    @_noLocks @inline(__always)
    private mutating func readEthernet(_ packet: PacketBytes) {
        guard packet.has(Field.ethernetLength, at: 0) else { return }
        (length, typePlace) = (Field.ethernetLength, Field.ethernetType)
        let type = packet.number16(Field.ethernetType)
        // Nearly every packet ends here.
        if type == 0x0800 || type == 0x86DD { etherType = type } else { follow(type, packet) }
    }

    /// Follows what an EtherType announces at `length` until IP or something else is reached.
    @_noLocks
    private mutating func follow(_ first: UInt16, _ packet: PacketBytes) {
        var type = first
        for _ in 0..<Self.tagLimit {
            switch type {
            case 0x0800, 0x86DD:
                etherType = type
                return
            case 0x8100, 0x88A8, 0x9100:
                guard packet.has(Field.tagLength, at: length) else { return }
                addVLAN(packet.number16(length) & 0x0FFF)
                type = packet.number16(length + 2)
                if snapPlace == 0 { typePlace = length + 2 }
                length += Field.tagLength
            case 0x8847, 0x8848:
                readLabels(packet)
                return
            case 0x8864:
                readSession(packet)
                return
            case 0...1500:
                // IEEE 802.3: a length, then LLC. With SNAP and no organisation an EtherType comes after all.
                guard snapPlace == 0, packet.has(8, at: length), packet.number32(length) == 0xAAAA_0300,
                    packet.number16(length + 4) == 0
                else { return }
                snapPlace = length
                type = packet.number16(length + 6)
                length += 8
            default:
                return
            }
        }
    }

    @_noLocks @inline(__always)
    private mutating func addVLAN(_ identifier: UInt16) {
        if vlanCount == 0 { outerVLAN = identifier } else if vlanCount == 1 { innerVLAN = identifier }
        vlanCount += 1
    }

    /// MPLS: labels up to the one with the bottom-of-stack bit. What comes then is said nowhere; the version
    /// of IP tells (RFC 4928).
    @_noLocks
    private mutating func readLabels(_ packet: PacketBytes) {
        for _ in 0..<Self.tagLimit {
            guard packet.has(4, at: length) else { return }
            let isLast = packet.byte(length + 2) & 1 == 1
            length += 4
            if isLast {
                readVersion(packet)
                return
            }
        }
    }

    /// PPPoE session stage: six bytes, then the protocol number of PPP.
    @_noLocks
    private mutating func readSession(_ packet: PacketBytes) {
        guard packet.has(8, at: length) else { return }
        sessionPlace = length + 1
        takeProtocol(packet.number16(length + 6))
        length += 8
    }

    /// PPP, with or without the address and control bytes of HDLC (RFC 1662); a protocol number of one byte (RFC 1661,
    /// section 6.5) is left alone.
    @_noLocks
    private mutating func readPPP(_ packet: PacketBytes) {
        guard packet.has(4, at: 0) else { return }
        length = packet.number16(0) == 0xFF03 ? 4 : 2
        takeProtocol(packet.number16(length - 2))
    }

    /// The protocol numbers of PPP that are IP (RFC 1332, RFC 5072).
    @_noLocks @inline(__always)
    private mutating func takeProtocol(_ number: UInt16) {
        if number == 0x0021 { etherType = 0x0800 } else if number == 0x0057 { etherType = 0x86DD }
    }

    /// BSD loopback: an address family in the byte order of the machine that captured, or in network order.
    /// The number of IPv6 depends on the system.
    @_noLocks
    private mutating func readFamily(_ packet: PacketBytes) {
        guard packet.has(Field.familyLength, at: 0) else { return }
        length = Field.familyLength
        let family = packet.number32(0)
        switch family > 0xFFFF ? family.byteSwapped : family {
        case 2: etherType = 0x0800
        case 10, 24, 28, 30: etherType = 0x86DD
        default: return
        }
    }

    /// No link header: the first four bits are the version of IP.
    @_noLocks
    private mutating func readVersion(_ packet: PacketBytes) {
        guard packet.has(1, at: length) else { return }
        let version = packet.byte(length) >> 4
        if version == 4 { etherType = 0x0800 } else if version == 6 { etherType = 0x86DD }
    }
}
