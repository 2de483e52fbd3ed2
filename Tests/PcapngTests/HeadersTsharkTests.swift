import Pcapng
import TestSupport
import Testing

/// Runs tshark over a capture and gives the outermost IP header of each packet as facts.
private func tsharkFacts(_ path: String) throws -> [(facts: HeaderFacts, isEthernet: Bool)] {
    let fields = [
        "ip.src", "ip.dst", "ip.proto", "ip.frag_offset", "ip.flags.mf", "ipv6.src", "ipv6.dst", "ipv6.nxt",
        "ipv6.fraghdr.offset", "ipv6.fraghdr.more", "tcp.srcport", "tcp.dstport", "udp.srcport",
        "udp.dstport",
        "sctp.srcport", "sctp.dstport", "frame.encap_type",
    ]
    // No reassembly, so that each packet stands for itself; first occurrences, so that quotations and tunnels
    // stay out.
    let result = try run(
        "tshark",
        ["-n", "-r", path, "-T", "fields", "-E", "occurrence=f", "-E", "separator=;"]
            + [
                "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o",
                "tcp.desegment_tcp_streams:FALSE",
            ]
            + fields.flatMap { ["-e", $0] }
    ).checked()
    return result.outputLines.map { line in
        let values = line.split(separator: ";", omittingEmptySubsequences: false).map(String.init)
        var facts = HeaderFacts()
        func number<Number: FixedWidthInteger>(_ index: Int) -> Number? {
            let text = values[index]
            return text.hasPrefix("0x") ? Number(text.dropFirst(2), radix: 16) : Number(text)
        }
        if !values[0].isEmpty {
            (facts.version, facts.source, facts.destination) = (4, values[0], values[1])
            facts.protocolNumber = number(2) ?? 0
            facts.fragmentOffset = (number(3) ?? 0) * 8
            facts.moreFragments = values[4] == "1" || values[4] == "True"
        } else if !values[5].isEmpty {
            (facts.version, facts.source, facts.destination) = (6, values[5], values[6])
            facts.protocolNumber = number(7) ?? 0
            facts.fragmentOffset = (number(8) ?? 0) * 8
            facts.moreFragments = values[9] == "1" || values[9] == "True"
        }
        let layers: [(index: Int, number: UInt8)] = [(10, 6), (12, 17), (14, 132)]
        // The ports of the protocol that the header names, not those of a tunnel's inside. Behind extension
        // headers the first ones found are those.
        let named = layers.filter { $0.number == facts.protocolNumber }
        let isChain = facts.version == 6 && [0, 43, 44, 51, 60].contains(facts.protocolNumber)
        for layer in isChain ? layers : named where facts.sourcePort == nil && !values[layer.index].isEmpty {
            (facts.sourcePort, facts.destinationPort) = (number(layer.index), number(layer.index + 1))
            facts.protocolNumber = layer.number
        }
        return (facts, values[16] == "1")
    }
}

/// Facts reduced to what both sides state in the same way: tshark's first next-header field is not the
/// protocol behind a chain of extension headers, and it shows no ports of fragments and of what an ICMP error
/// quotes.
private func comparable(_ facts: HeaderFacts, to other: HeaderFacts) -> HeaderFacts {
    var facts = facts
    if facts.version == 6, other.sourcePort == nil { facts.protocolNumber = 0 }
    if other.sourcePort == nil || facts.protocolNumber == 1 || facts.protocolNumber == 58 {
        (facts.sourcePort, facts.destinationPort) = (nil, nil)
    }
    return facts
}

@Suite("Packet headers as tshark sees them")
struct HeadersTsharkTests {
    @Test("Generated captures of each link type", arguments: [UInt16(0), 1, 108, 113, 276, 101, 228, 229])
    func generated(_ linkType: UInt16) throws {
        try requireTool("tshark")
        // What tshark refuses to dissect, or dissects by guessing, is left to the literal tests.
        let samples = headerSamples.filter {
            $0.linkType == linkType && $0.expected.version != 0 && $0.quoted.version == 0
                && !$0.name.contains("SLL with a VLAN")
        }
        try #require(!samples.isEmpty)
        try withTemporaryDirectory { folder in
            let path = "\(folder)/packets.pcap"
            try writeFile(path, PacketBuilder.pcapFile(samples.map(\.bytes), linkType: UInt32(linkType)))
            let theirs = try tsharkFacts(path).map(\.facts)
            try #require(theirs.count == samples.count)
            for (sample, other) in zip(samples, theirs) {
                let own = HeaderFacts(headers(of: sample.bytes, linkType: linkType))
                #expect(comparable(own, to: other) == comparable(other, to: other), "\(sample.name)")
            }
        }
    }

    @Test("Captures from the wild that are Ethernet")
    func fromTheWild() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        try requireTool("tshark")
        try requireTool("capinfos")
        var compared = 0
        for name in try directoryEntries(folder) where name.contains(".pcap") {
            let path = "\(folder)/\(name)"
            guard try run("capinfos", ["-E", path]).checked().outputText.contains("Ethernet") else {
                continue
            }
            let packets = try tsharkPackets(path, interfacesPerSection: [])
            let theirs = try tsharkFacts(path)
            try #require(theirs.count == packets.count)
            for (index, (packet, (other, isEthernet))) in zip(packets, theirs).enumerated() where isEthernet {
                let own = HeaderFacts(headers(of: packet.bytes))
                #expect(
                    comparable(own, to: other) == comparable(other, to: other), "\(name) frame \(index + 1)")
                compared += own.version == 0 ? 0 : 1
            }
        }
        #expect(compared > 100)
    }
}
