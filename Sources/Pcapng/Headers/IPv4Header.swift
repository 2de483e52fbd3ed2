internal import Machine

/// An IPv4 header (RFC 791). Once `init` succeeded, no getter can fail.
struct IPv4Header: BitwiseCopyable {
    private let packet: PacketBytes
    private let start: Int

    private enum Field {
        static var minimumLength: Int { @_noLocks get { 20 } }
        static var totalLength: Int { @_noLocks get { 2 } }
        static var identification: Int { @_noLocks get { 4 } }
        static var fragment: Int { @_noLocks get { 6 } }
        static var protocolNumber: Int { @_noLocks get { 9 } }
        static var source: Int { @_noLocks get { 12 } }
        static var destination: Int { @_noLocks get { 16 } }
    }

    /// The header at `start`; nil unless all of it, options included, was captured and its lengths make
    /// sense.
    @_noLocks @inline(__always)
    init?(_ packet: PacketBytes, at start: Int) {
        guard packet.has(Field.minimumLength, at: start), packet.byte(start) >> 4 == 4 else { return nil }
        self.packet = packet
        self.start = start
        guard length >= Field.minimumLength, packet.has(length, at: start) else { return nil }
        guard totalLength == 0 || totalLength >= length else { return nil }
    }

    /// Bytes of the header, options included.
    var length: Int { @_noLocks @inline(__always) get { Int(packet.byte(start) & 15) * 4 } }

    /// Bytes of the datagram or fragment; 0 where a segment too large for the field was captured before it
    /// was cut.
    var totalLength: Int {
        @_noLocks @inline(__always) get { Int(packet.number16(start + Field.totalLength)) }
    }

    /// Where the datagram ends, no later than the captured bytes. Ethernet pads short packets behind it.
    var end: Int {
        @_noLocks @inline(__always)
        get { totalLength == 0 ? packet.count : min(packet.count, start + totalLength) }
    }

    /// What all fragments of one datagram share.
    var identification: UInt32 {
        @_noLocks @inline(__always) get { UInt32(packet.number16(start + Field.identification)) }
    }
    /// Where this fragment's data belongs, in bytes.
    var fragmentOffset: Int {
        @_noLocks @inline(__always) get { Int(packet.number16(start + Field.fragment) & 0x1FFF) * 8 }
    }
    /// Whether another fragment follows.
    var moreFragments: Bool {
        @_noLocks @inline(__always) get { packet.number16(start + Field.fragment) & 0x2000 != 0 }
    }
    /// The protocol above.
    var protocolNumber: UInt8 {
        @_noLocks @inline(__always) get { packet.byte(start + Field.protocolNumber) }
    }
    /// The second word of the source as ::ffff:a.b.c.d; the first is 0.
    var source: UInt64 {
        @_noLocks @inline(__always) get { Endpoint.mapped(packet.word32(start + Field.source)) }
    }
    /// The second word of the destination as ::ffff:a.b.c.d; the first is 0.
    var destination: UInt64 {
        @_noLocks @inline(__always) get { Endpoint.mapped(packet.word32(start + Field.destination)) }
    }
}
