import Reassembly
import TestSupport
import Testing

/// What tshark puts together: the data of each datagram, by the number of the frame that completed it.
private func tsharkDatagrams(_ path: String) throws -> [Int: [UInt8]] {
    let fields = ["frame.number", "ip.reassembled.data", "ipv6.reassembled.data"].flatMap { ["-e", $0] }
    let result = try run(
        "tshark",
        ["-n", "-r", path, "-T", "fields", "-E", "occurrence=f", "-E", "separator=;"]
            + ["-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE"] + fields
    ).checked()
    var datagrams: [Int: [UInt8]] = [:]
    for line in result.outputLines {
        let values = line.split(separator: ";", omittingEmptySubsequences: false)
        guard values.count == 3, let number = Int(values[0]), !(values[1] + values[2]).isEmpty else { continue }
        let digits = Array((values[1] + values[2]).utf8)
        datagrams[number] = stride(from: 0, to: digits.count - 1, by: 2).map {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)!
        }
    }
    return datagrams
}

/// Puts a capture together and compares with tshark: the same frames complete datagrams with the same data. Returns them.
private func compare(_ path: String, _ frames: [Frame], linkType: UInt16 = 1) throws -> [[UInt8]] {
    let expected = try tsharkDatagrams(path)
    let rig = try Rig(memory: 4 << 20, linkType: linkType)
    var found: [Int: [UInt8]] = [:]
    for (number, frame) in frames.enumerated() {
        rig.send(frame)
        if rig.datagrams.count > found.count { found[number + 1] = rig.datagrams[rig.datagrams.count - 1].bytes }
    }
    #expect(Set(found.keys) == Set(expected.keys), "\(path)")
    for (number, data) in expected {
        #expect(found[number].map { Array($0.suffix(data.count)) } == data, "\(path) frame \(number)")
    }
    rig.expectNothingLost()
    return rig.datagrams.map(\.bytes)
}

/// What tshark thinks of packets that we put together: for each the protocols, then whether lengths and checksums are right.
private func judgement(_ packets: [[UInt8]], linkType: UInt32 = 1) throws -> [[String]] {
    try withTemporaryDirectory { folder in
        try writeFile("\(folder)/out.pcap", PacketBuilder.pcapFile(packets, linkType: linkType))
        let fields = [
            "ip.len", "ipv6.plen", "ip.checksum.status", "udp.checksum.status", "icmp.checksum.status",
            "icmpv6.checksum.status", "ip.flags.mf", "ip.frag_offset", "ipv6.fraghdr.offset", "_ws.malformed",
        ]
        return try run(
            "tshark",
            ["-n", "-r", "\(folder)/out.pcap", "-T", "fields", "-E", "occurrence=f", "-E", "separator=;"]
                + ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"] + fields.flatMap { ["-e", $0] }
        ).checked().outputLines.map { $0.split(separator: ";", omittingEmptySubsequences: false).map(String.init) }
    }
}

/// The packets of a classic capture file with microseconds, little endian.
private func framesOfClassicFile(_ path: String) throws -> [Frame] {
    let file = try readFile(path)
    func number(_ offset: Int) -> Int {
        file[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    try #require(file.count >= 24 && number(0) == 0xA1B2_C3D4)
    var frames: [Frame] = []
    var offset = 24
    while offset + 16 <= file.count {
        let captured = number(offset + 8)
        let time = UInt64(number(offset)) * 1_000_000_000 + UInt64(number(offset + 4)) * 1000
        frames.append(
            Frame(Array(file[offset + 16..<offset + 16 + captured]), time: time, original: number(offset + 12)))
        offset += 16 + captured
    }
    return frames
}

@Suite("Datagrams as tshark puts them together", .timeLimit(.minutes(5)))
struct TsharkTests {
    @Test("Captures from the wild, and the checksums of their senders")
    func fromTheWild() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        try requireTool("tshark")
        var compared = 0
        for name in ["afs.pcap", "ip-frag.pcap", "frag_with_padding.pcap", "ip6_fragments.pcap"] {
            let path = "\(folder)/\(name)"
            let datagrams = try compare(path, try framesOfClassicFile(path))
            compared += datagrams.count
            for (number, values) in try judgement(datagrams).enumerated() {
                // 1 is good, 3 is not there: the sender's own checksums hold over what we put together.
                for status in values[2...5] where !status.isEmpty {
                    #expect(["1", "3"].contains(status), "\(name) datagram \(number): \(values)")
                }
                #expect(values[3...5].contains("1") || name == "frag_with_padding.pcap", "\(name) \(number): \(values)")
                #expect(["", "0"].contains(values[6]) && ["", "0"].contains(values[7]) && values[8] == "")
            }
        }
        #expect(compared == 51 + 190 + 1 + 4)
    }

    @Test("Generated captures: every family, VLANs, orders, duplicates, losses", arguments: [1, 2, 3])
    func generated(_ seed: UInt64) throws {
        try requireTool("tshark")
        var random = Seeded(seed)
        var frames: [[UInt8]] = []
        var complete = 0
        var window: [[UInt8]] = []
        for number in 0..<150 {
            var sample = Sample(
                size: 50 + random.below(number % 20 == 0 ? 30000 : 3000), version: 4 + random.below(2) * 2)
            sample.identification = UInt32(number + 1)
            // A protocol for experiments (RFC 3692), in which tshark looks for nothing.
            sample.protocolNumber = 253
            sample.source = UInt8(random.below(5))
            if random.below(3) == 0 {
                let vlan = UInt16(1 + random.below(3))
                sample.link = { packet, version in
                    PacketBuilder.ethernet(packet, type: version == 4 ? 0x0800 : 0x86DD, tags: [(0x8100, vlan)])
                }
            }
            if sample.version == 6, random.below(3) == 0 { sample.extensions = [(60, [1, 4, 0, 0, 0, 0])] }
            var fragments = sample.fragments(of: 8 * (1 + random.below(180)))
            if fragments.count == 1 || fragments.count > 100 { continue }
            // tshark keeps no more than a window of orders apart either; a few datagrams are mixed at a time.
            if random.below(2) == 0 { fragments.shuffle(using: &random) }
            if random.below(10) == 0 { fragments.remove(at: random.below(fragments.count)) } else { complete += 1 }
            if random.below(5) == 0 { fragments.insert(fragments[0], at: 1) }
            for fragment in fragments { window.insert(fragment, at: max(0, window.count - random.below(8))) }
            while window.count > 20 { frames.append(window.removeFirst()) }
        }
        frames += window
        try withTemporaryDirectory { folder in
            let path = "\(folder)/in.pcap"
            try writeFile(path, PacketBuilder.pcapFile(frames, linkType: 1))
            // The stamps of the file are a second apart; the time is not what is tested here.
            let datagrams = try compare(path, frames.map { Frame($0) })
            #expect(datagrams.count > 50 && datagrams.count <= complete)
            for values in try judgement(datagrams) {
                #expect(values[2] == "" || values[2] == "1", "the header checksum")
                #expect(["", "0"].contains(values[6]) && values[8] == "" && values[9] == "")
            }
        }
    }

    @Test("Every link layer: tshark reads the whole datagram in the frame that comes out")
    func carried() throws {
        try requireTool("tshark")
        // For these tshark looks at other things than the link type, or finds no IP.
        let readable = Carrier.all.filter { ![12, 51, 101].contains($0.linkType) }
        for (linkType, carriers) in Dictionary(grouping: readable, by: \.linkType) {
            let rig = try Rig(linkType: linkType)
            for carrier in carriers {
                for version in [4, 6] {
                    var sample = Sample(size: 2799, version: version)
                    sample.protocolNumber = 253
                    sample.link = carrier.link
                    rig.send(sample.fragments(of: 1400).reversed())
                }
            }
            let judgements = try judgement(rig.datagrams.map(\.bytes), linkType: UInt32(linkType))
            try #require(judgements.count == carriers.count * 2)
            for (number, values) in judgements.enumerated() {
                let isIPv4 = number % 2 == 0
                let name = carriers[number / 2].name
                #expect(values[isIPv4 ? 0 : 1] == "\(isIPv4 ? 2819 : 2799)", "\(name) \(values)")
                #expect(!isIPv4 || values[2] == "1", "\(name) \(values)")
                #expect(values[9] == "", "\(name) \(values)")
            }
        }
    }
}
