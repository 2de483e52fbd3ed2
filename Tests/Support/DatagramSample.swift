/// A datagram and its fragments, made by the rules of RFC 791 and RFC 8200, apart from the code under test.
public struct DatagramSample: Sendable {
    /// 4 or 6.
    public var version = 4
    /// What the datagram carries.
    public var data: [UInt8]
    /// What its fragments share.
    public var identification: UInt32 = 0x1234
    /// The protocol above.
    public var protocolNumber: UInt8 = 17
    /// The last byte of the source address.
    public var source: UInt8 = 1
    /// The last byte of the destination address.
    public var destination: UInt8 = 2
    /// IPv4 options, which every fragment has.
    public var options: [UInt8] = []
    /// IPv6 extension headers before the fragment header: type and body.
    public var extensions: [(type: UInt8, body: [UInt8])] = []
    /// What stands around the IP packet.
    public var link: @Sendable ([UInt8], Int) -> [UInt8] = { packet, version in
        PacketBuilder.ethernet(packet, type: version == 4 ? 0x0800 : 0x86DD)
    }

    /// A datagram with this data.
    public init(_ data: [UInt8], version: Int = 4) { (self.data, self.version) = (data, version) }

    /// Bytes that differ from each other, for a datagram of this size.
    public init(size: Int, version: Int = 4) { self.init(sampleBytes(size, seed: size), version: version) }

    /// One fragment, made of any bytes: `from..<to` of the data unless `bytes` says otherwise.
    public func fragment(_ from: Int, _ to: Int, more: Bool? = nil, bytes: [UInt8]? = nil) -> [UInt8] {
        let part = bytes ?? Array(data[from..<to])
        let more = more ?? (to < data.count)
        return link(packet(part, offset: from, more: more, isFragment: true), version)
    }

    /// Fragments that begin and end at these places.
    public func fragments(at cuts: [Int]) -> [[UInt8]] {
        zip([0] + cuts, cuts + [data.count]).map { fragment($0, $1) }
    }

    /// Fragments of so much data each.
    public func fragments(of size: Int) -> [[UInt8]] {
        fragments(at: Array(stride(from: size, to: data.count, by: size)))
    }

    /// What must come out: the datagram in one packet.
    public var whole: [UInt8] { whole(data) }

    /// The datagram with other bytes.
    public func whole(_ bytes: [UInt8]) -> [UInt8] {
        link(packet(bytes, offset: 0, more: false, isFragment: false), version)
    }

    private func packet(_ part: [UInt8], offset: Int, more: Bool, isFragment: Bool) -> [UInt8] {
        if version == 4 {
            let word = UInt16(offset / 8) | (more ? 0x2000 : 0)
            let packet = PacketBuilder.ipv4(
                part, protocolNumber: protocolNumber, from: [192, 0, 2, source], to: [198, 51, 100, destination],
                options: options, fragment: word, identification: UInt16(identification))
            return withChecksum(packet)
        }
        // From the inside out: the last header names the fragment header, or the protocol.
        var next = isFragment ? UInt8(44) : protocolNumber
        var headers: [UInt8] = []
        for header in extensions.reversed() {
            headers = PacketBuilder.extensionHeader(next: next, header.body) + headers
            next = header.type
        }
        if isFragment {
            headers += PacketBuilder.fragmentHeader(
                next: protocolNumber, offset: UInt16(offset), more: more, identification: identification)
        }
        return PacketBuilder.ipv6(
            headers + part, nextHeader: next, from: PacketBuilder.ipv6Address(source),
            to: PacketBuilder.ipv6Address(destination))
    }
}

/// An IPv4 packet with the right header checksum (RFC 1071).
public func withChecksum(_ packet: [UInt8]) -> [UInt8] {
    var packet = packet
    let header = Int(packet[0] & 15) * 4
    (packet[10], packet[11]) = (0, 0)
    var sum = stride(from: 0, to: header, by: 2).reduce(0) { $0 + Int(packet[$1]) << 8 + Int(packet[$1 + 1]) }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    (packet[10], packet[11]) = (UInt8(~sum >> 8 & 0xFF), UInt8(~sum & 0xFF))
    return packet
}

/// All orders of the numbers below `count`.
public func orders(of count: Int) -> [[Int]] {
    if count == 0 { return [[]] }
    return orders(of: count - 1).flatMap { order in
        (0..<count).map { place in
            var longer = order
            longer.insert(count - 1, at: place)
            return longer
        }
    }
}
