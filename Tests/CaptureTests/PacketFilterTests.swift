import Capture
import Glibc
import Pcapng
import TestSupport
import Testing

private typealias Build = PacketBuilder

/// Packets of many kinds, each with its number as the last two bytes.
private let ethernetPackets: [[UInt8]] = {
    let inner: [[UInt8]] = [
        Build.ipv4(Build.udp([], from: 53, to: 4000), protocolNumber: 17),
        Build.ipv4(Build.tcp(from: 4000, to: 443, flags: 2), protocolNumber: 6),
        Build.ipv4(Build.tcp(from: 443, to: 4000, flags: 18), protocolNumber: 6, from: [10, 0, 0, 1]),
        Build.ipv4(Build.icmp(type: 8, []), protocolNumber: 1),
        Build.ipv4(Build.udp([1, 2, 3], from: 1, to: 2), protocolNumber: 17, fragment: 0x2000),
        Build.ipv6(Build.udp([], from: 53, to: 4000), nextHeader: 17),
        Build.ipv6(Build.tcp(from: 80, to: 81), nextHeader: 6),
    ]
    var packets: [[UInt8]] = []
    for (tags, padding) in [([], 0), ([(0x8100, 100)], 0), ([(0x88a8, 5), (0x8100, 100)], 900)]
        as [([(UInt16, UInt16)], Int)]
    {
        for packet in inner {
            let number = UInt16(packets.count)
            let tail = [UInt8](repeating: 0, count: padding) + [UInt8(number >> 8), UInt8(number & 255)]
            packets.append(
                Build.ethernet(packet, type: packet[0] >> 4 == 4 ? 0x0800 : 0x86dd, tags: tags) + tail)
        }
    }
    return packets
}()

/// Which of the packets `tcpdump` lets through.
private func tcpdumpChoice(_ expression: String, _ packets: [[UInt8]], linkType: UInt32) throws -> Set<
    [UInt8]
> {
    try withTemporaryDirectory { folder in
        try writeFile("\(folder)/in.pcap", PacketBuilder.pcapFile(packets, linkType: linkType))
        try run("tcpdump", ["-r", "\(folder)/in.pcap", "-w", "\(folder)/out.pcap", expression]).checked()
        let bytes = try readFile("\(folder)/out.pcap")
        var chosen: Set<[UInt8]> = []
        var offset = 24
        while offset < bytes.count {
            let length = Int(bytes[offset + 8]) | Int(bytes[offset + 9]) << 8
            chosen.insert(Array(bytes[offset + 16..<offset + 16 + length]))
            offset += 16 + length
        }
        return chosen
    }
}

private func choice(_ filter: PacketFilter, _ packets: [[UInt8]]) -> Set<[UInt8]> {
    Set(
        packets.filter { packet in
            unsafe packet.withUnsafeBytes {
                unsafe filter.matches(
                    $0.baseAddress!, captured: UInt32($0.count), original: UInt32($0.count))
            }
        })
}

@Suite("Filter expressions")
struct PacketFilterTests {
    @Test(
        "The same packets pass as through tcpdump",
        arguments: [
            "", "udp", "tcp port 443", "ip6", "host 10.0.0.1", "vlan 100 and udp", "greater 500", "not tcp",
            "tcp[tcpflags] & tcp-syn != 0", "ip[6:2] & 0x3fff != 0", "icmp or (ip6 and tcp)",
            "net 192.0.2.0/24",
        ])
    func likeTcpdump(_ expression: String) throws {
        try requireTool("tcpdump")
        let filter = try PacketFilter(expression, linkType: .ethernet)
        let expected = try tcpdumpChoice(expression, ethernetPackets, linkType: 1)
        #expect(choice(filter, ethernetPackets) == expected)
    }

    @Test("Other link types: cooked and bare IP", arguments: [UInt16(113), 276, 101, 228])
    func linkTypes(_ linkType: UInt16) throws {
        try requireTool("tcpdump")
        let header: [UInt8] =
            switch linkType {
            case 113: [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0x00]
            case 276: [0x08, 0x00, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]
            default: []
            }
        let packets = [
            header + Build.ipv4(Build.udp([], from: 53, to: 4000), protocolNumber: 17),
            header + Build.ipv4(Build.tcp(from: 1, to: 443), protocolNumber: 6),
        ]
        let filter = try PacketFilter("udp port 53", linkType: LinkType(linkType))
        let expected = try tcpdumpChoice("udp port 53", packets, linkType: UInt32(linkType))
        #expect(expected == [packets[0]])
        #expect(choice(filter, packets) == expected)
    }

    @Test("A cut packet is judged by its true length, and by no byte that is not there")
    func cutPackets() throws {
        let long = try PacketFilter("greater 1000", linkType: .ethernet)
        let port = try PacketFilter("udp dst port 4000", linkType: .ethernet)
        let packet = ethernetPackets[0]
        unsafe packet.withUnsafeBytes {
            let bytes = $0.baseAddress!
            #expect(unsafe long.matches(bytes, captured: 34, original: 1400))
            #expect(unsafe !long.matches(bytes, captured: 34, original: 999))
            #expect(unsafe port.matches(bytes, captured: 38, original: 1400))
            for captured in 0..<UInt32(38) {
                #expect(unsafe !port.matches(bytes, captured: captured, original: 1400))
            }
        }
    }

    @Test("A wrong expression is refused in libpcap's own words")
    func wrongExpressions() throws {
        try requireTool("tcpdump")
        for expression in [
            "port port", "tcp portt 80", "host 1.2.3.4.5", "wlan type mgt", "(", "udp and tcp",
        ] {
            let error = #expect(throws: PacketFilterError.self) {
                _ = try PacketFilter(expression, linkType: .ethernet)
            }
            let theirs = try run("tcpdump", ["-y", "EN10MB", "-d", expression])
            #expect(theirs.status != .exited(0))
            #expect(error.map { theirs.errorText.contains($0.reason) && !$0.reason.isEmpty } == true)
            #expect(error?.description.contains(expression) == true)
        }
        #expect(throws: PacketFilterError.self) { _ = try PacketFilter("tcp\0udp", linkType: .ethernet) }
        #expect(throws: PacketFilterError.self) { _ = try PacketFilter("tcp", linkType: LinkType(189)) }
    }
}
