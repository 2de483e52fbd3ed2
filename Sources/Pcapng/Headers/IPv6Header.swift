/// An IPv6 header (RFC 8200). Once `init` succeeded, no getter can fail.
struct IPv6Header: BitwiseCopyable {
    private let packet: PacketBytes
    private let start: Int

    private enum Field {
        static var payloadLength: Int { @_noLocks get { 4 } }
        static var nextHeader: Int { @_noLocks get { 6 } }
        static var source: Int { @_noLocks get { 8 } }
        static var destination: Int { @_noLocks get { 24 } }
    }
    /// Bytes of the header without extension headers.
    static var length: Int { @_noLocks get { 40 } }
    /// Where in the header the number of the next one stands.
    static var nextHeaderOffset: Int { @_noLocks get { Field.nextHeader } }

    /// The header at `start`; nil unless all of it was captured.
    @_noLocks @inline(__always)
    init?(_ packet: PacketBytes, at start: Int) {
        guard packet.has(Self.length, at: start), packet.byte(start) >> 4 == 6 else { return nil }
        self.packet = packet
        self.start = start
    }

    /// Bytes behind the header; 0 for a jumbogram (RFC 2675), or a segment captured before it was cut.
    var payloadLength: Int {
        @_noLocks @inline(__always) get { Int(packet.number16(start + Field.payloadLength)) }
    }
    /// Where the packet ends, no later than the captured bytes. A jumbogram (RFC 2675), or a segment captured
    /// before it was cut, has length 0 and ends with the frame.
    var end: Int {
        @_noLocks @inline(__always)
        get { payloadLength == 0 ? packet.count : min(packet.count, start + Self.length + payloadLength) }
    }
    /// The first extension header, or the protocol above.
    var nextHeader: UInt8 { @_noLocks @inline(__always) get { packet.byte(start + Field.nextHeader) } }
    /// The two words of the source.
    var source: (high: UInt64, low: UInt64) {
        @_noLocks @inline(__always)
        get { (packet.word64(start + Field.source), packet.word64(start + Field.source + 8)) }
    }
    /// The two words of the destination.
    var destination: (high: UInt64, low: UInt64) {
        @_noLocks @inline(__always)
        get { (packet.word64(start + Field.destination), packet.word64(start + Field.destination + 8)) }
    }
}

/// The chain of extension headers after an IPv6 header, up to the protocol above or the data of a later
/// fragment.
struct IPv6Extensions: BitwiseCopyable {
    /// Where the chain ends.
    private(set) var end: Int
    /// What begins there; in a later fragment: what the fragment header says of the first one.
    private(set) var protocolNumber: UInt8
    /// Whether the chain was followed to its end.
    private(set) var isComplete = false
    private(set) var hasFragmentHeader = false
    private(set) var fragmentOffset = 0
    private(set) var moreFragments = false
    private(set) var identification: UInt32 = 0
    /// Where the fragment header stands.
    private(set) var fragmentHeader = 0
    /// Where the number 44 stands that announces the fragment header: in the header before it.
    private(set) var announcement = 0
    /// Whether a fragment header follows another one, which no sender does.
    private(set) var isNested = false

    /// A longer chain is left alone: no sender has reason for one, and following it costs time on every
    /// packet.
    private static var chainLimit: Int { @_noLocks get { 16 } }

    /// Follows the chain that begins at `start` with the header `first`.
    @_noLocks @inline(__always)
    init(_ packet: PacketBytes, from start: Int, first: UInt8) {
        end = start
        protocolNumber = first
        announcement = start - IPv6Header.length + IPv6Header.nextHeaderOffset
        // TCP and UDP first: nearly every packet has no chain.
        if first == 6 || first == 17 { isComplete = true } else { follow(packet) }
    }

    @_noLocks
    private mutating func follow(_ packet: PacketBytes) {
        for _ in 0..<Self.chainLimit {
            let length: Int
            switch protocolNumber {
            case 0, 43, 60, 135, 139, 140:
                // Hop-by-hop and destination options, routing, mobility, host identity, shim6: units of 8
                // after the first.
                guard packet.has(8, at: end) else { return }
                length = (Int(packet.byte(end + 1)) + 1) * 8
            case 51:
                // Authentication (RFC 4302): units of 4 after the first two.
                guard packet.has(8, at: end) else { return }
                length = (Int(packet.byte(end + 1)) + 2) * 4
            case 44:
                guard packet.has(8, at: end) else { return }
                takeFragment(packet)
                length = 8
            default:
                isComplete = true
                return
            }
            guard packet.has(length, at: end) else { return }
            protocolNumber = packet.byte(end)
            if !hasFragmentHeader { announcement = end }
            end += length
            if fragmentOffset != 0 {
                // What follows is data from the middle of a datagram.
                isComplete = true
                return
            }
        }
    }

    /// The fragment header. Of several the first that makes the packet a fragment counts.
    @_noLocks
    private mutating func takeFragment(_ packet: PacketBytes) {
        isNested = hasFragmentHeader
        if moreFragments { return }
        fragmentHeader = end
        let field = packet.number16(end + 2)
        hasFragmentHeader = true
        fragmentOffset = Int(field & 0xFFF8)
        moreFragments = field & 1 == 1
        identification = packet.number32(end + 4)
    }
}
