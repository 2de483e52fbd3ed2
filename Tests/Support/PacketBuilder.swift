/// Builds packets layer by layer, from the inside out, as a test wants them. Lengths are right unless told
/// otherwise; checksums are zero, since nothing that is tested here looks at them.
public enum PacketBuilder {
    /// An Ethernet frame.
    ///
    /// - Parameters:
    ///   - tags: EtherType and tag control information of each VLAN tag, the outer first.
    public static func ethernet(
        _ payload: [UInt8], type: UInt16, tags: [(type: UInt16, control: UInt16)] = [],
        to destination: [UInt8] = [2, 0, 0, 0, 0, 2], from source: [UInt8] = [2, 0, 0, 0, 0, 1]
    ) -> [UInt8] {
        var frame = ByteWriter(.big)
        frame.raw(destination + source)
        for tag in tags {
            frame.number(tag.type)
            frame.number(tag.control)
        }
        frame.number(type)
        frame.raw(payload)
        return frame.bytes
    }

    /// An IPv4 packet; `fragment` is the word of flags and offset.
    public static func ipv4(
        _ payload: [UInt8], protocolNumber: UInt8, from source: [UInt8] = [192, 0, 2, 1],
        to destination: [UInt8] = [198, 51, 100, 2], options: [UInt8] = [], fragment: UInt16 = 0,
        identification: UInt16 = 0, totalLength: UInt16? = nil
    ) -> [UInt8] {
        var packet = ByteWriter(.big)
        let header = 20 + options.count
        packet.raw([0x40 | UInt8(header / 4), 0])
        packet.number(totalLength ?? UInt16(header + payload.count))
        packet.number(identification)
        packet.number(fragment)
        packet.raw([64, protocolNumber, 0, 0])
        packet.raw(source + destination + options + payload)
        return packet.bytes
    }

    /// An IPv6 packet; extension headers are a part of `payload`.
    public static func ipv6(
        _ payload: [UInt8], nextHeader: UInt8, from source: [UInt8] = ipv6Address(1),
        to destination: [UInt8] = ipv6Address(2), payloadLength: UInt16? = nil
    ) -> [UInt8] {
        var packet = ByteWriter(.big)
        packet.number(UInt32(0x6000_0000))
        packet.number(payloadLength ?? UInt16(payload.count))
        packet.raw([nextHeader, 64])
        packet.raw(source + destination + payload)
        return packet.bytes
    }

    /// 2001:db8::n
    public static func ipv6Address(_ number: UInt8) -> [UInt8] {
        [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]
    }

    /// An IPv6 extension header of the usual form, padded to a multiple of 8.
    public static func extensionHeader(next: UInt8, _ body: [UInt8] = []) -> [UInt8] {
        var header = ByteWriter(.big)
        let length = (2 + body.count + 7) / 8 * 8
        header.raw([next, UInt8(length / 8 - 1)])
        header.raw(body)
        header.raw([UInt8](repeating: 0, count: length - 2 - body.count))
        return header.bytes
    }

    /// An IPv6 fragment header; `offset` in bytes.
    public static func fragmentHeader(next: UInt8, offset: UInt16, more: Bool, identification: UInt32)
        -> [UInt8]
    {
        var header = ByteWriter(.big)
        header.raw([next, 0])
        header.number(offset | (more ? 1 : 0))
        header.number(identification)
        return header.bytes
    }

    /// A UDP datagram.
    public static func udp(_ payload: [UInt8], from source: UInt16, to destination: UInt16) -> [UInt8] {
        var datagram = ByteWriter(.big)
        datagram.number(source)
        datagram.number(destination)
        datagram.number(UInt16(truncatingIfNeeded: 8 + payload.count))
        datagram.number(UInt16(0))
        datagram.raw(payload)
        return datagram.bytes
    }

    /// A TCP segment without options.
    public static func tcp(
        _ payload: [UInt8] = [], from source: UInt16, to destination: UInt16, flags: UInt8 = 0x10
    ) -> [UInt8] {
        var segment = ByteWriter(.big)
        segment.number(source)
        segment.number(destination)
        segment.number(UInt32(1))
        segment.number(UInt32(2))
        segment.raw([0x50, flags])
        segment.number(UInt16(1024))
        segment.number(UInt32(0))
        segment.raw(payload)
        return segment.bytes
    }

    /// An ICMP or ICMPv6 message whose second word is 0.
    public static func icmp(type: UInt8, code: UInt8 = 0, _ body: [UInt8]) -> [UInt8] {
        [type, code, 0, 0, 0, 0, 0, 0] + body
    }

    /// A classic pcap file with microseconds, one packet per second.
    public static func pcapFile(_ packets: [[UInt8]], linkType: UInt32) -> [UInt8] {
        var file = ByteWriter(.little)
        file.number(UInt32(0xa1b2_c3d4))
        file.number(UInt16(2))
        file.number(UInt16(4))
        file.number(UInt64(0))
        file.number(UInt32(262_144))
        file.number(linkType)
        for (number, packet) in packets.enumerated() {
            file.number(UInt32(1_700_000_000 + number))
            file.number(UInt32(0))
            file.number(UInt32(packet.count))
            file.number(UInt32(packet.count))
            file.raw(packet)
        }
        return file.bytes
    }
}
