import Glibc
import TestSupport
import Testing

@Suite("Files that are damaged, missing or of another kind")
struct DamageTests {
    @Test("A file cut anywhere delivers every whole packet, exits 65 and names file and offset")
    func truncated() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/cut.pcap"
            for kind in [CaptureKinds.classic[0], CaptureKinds.pcapng[0], CaptureKinds.pcapng[5]] {
                let ends = kind.boundaries.filter { $0 > 60 }
                for cut in Set(ends.flatMap { [$0 - 1, $0 - 7, $0] }).sorted() where cut < kind.bytes.count {
                    try writeFile(path, Array(kind.bytes[..<cut]))
                    let isWhole = kind.boundaries.contains(cut)
                    let expected = kind.packets(within: cut).map(Packet.init)
                    let stream = try relayed(
                        [path], captured: expected.count, encoded: expected.count, exits: isWhole ? 0 : 65,
                        naming: isWhole ? [] : [path, "offset \(kind.boundary(before: cut))"])
                    expectSame(stream.packets, expected, "\(kind.name) cut at \(cut)")
                }
            }
        }
    }

    @Test("A length that cannot be ends the file there; the next file is read all the same")
    func damaged() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<100)
            var bytes = captureFile(packets)
            let offset = 24 + 60 * 216
            bytes.replaceSubrange(offset + 8..<offset + 12, with: [255, 255, 255, 127])
            try writeFile("\(folder)/bad", bytes)
            try writeFile("\(folder)/good", captureFile(numberedPackets(200..<300)))
            let stream = try relayed(
                ["\(folder)/bad", "\(folder)/good"], captured: 160, encoded: 160, exits: 65,
                naming: ["\(folder)/bad", "offset \(offset)"])
            expectSame(stream.packets, Array(packets[..<60]) + numberedPackets(200..<300))
        }
    }

    @Test("Garbage, an empty file and a cut standard input: 65")
    func garbage() throws {
        try withTemporaryDirectory { folder in
            for bytes in [[], Array("not a capture file, but long enough to be one".utf8)] as [[UInt8]] {
                try writeFile("\(folder)/in", bytes)
                let result = try relay(["-r", "\(folder)/in", "--to", "null"])
                result.expect(exits: 65, naming: ["\(folder)/in"])
                try expectLedger(result, captured: 0, encoded: 0)
            }
        }
        let stream = try relayed(
            ["-"], input: Array(captureFile(numberedPackets(0..<9)).dropLast()), captured: 8, encoded: 8, exits: 65,
            naming: ["standard input", "offset \(24 + 8 * 216)"])
        expectSame(stream.packets, numberedPackets(0..<8))
    }

    @Test("A second link type is refused: 65, the first file is delivered", arguments: [false, true])
    func secondLinkType(inOneFile: Bool) throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<50)
            if inOneFile {
                var file = PcapngBuilder()
                file.section(.little)
                file.interface(resolution: 9)
                for packet in packets { file.enhanced(0, units: packet.time, packet.bytes) }
                file.interface(linkType: 113, resolution: 9)
                file.enhanced(1, units: 5, sampleBytes(60, seed: 1))
                try writeFile("\(folder)/1", file.built("").bytes)
            } else {
                try writeFile("\(folder)/0", captureFile(packets))
                try writeFile("\(folder)/1", captureFile(numberedPackets(50..<60), linkType: 113))
            }
            let stream = try relayed(
                (inOneFile ? [] : ["\(folder)/0"]) + ["\(folder)/1"], captured: 50, encoded: 50, exits: 65,
                naming: ["\(folder)/1", "link type"])
            expectSame(stream.packets, packets)
            #expect(stream.linkTypes == [1])
        }
    }

    @Test("Raw IP becomes IPv4 or IPv6 by its first packet, and libpcap reads it", arguments: [4, 6])
    func rawIP(version: Int) throws {
        try requireTool("tcpdump")
        let datagram = PacketBuilder.udp([1, 2, 3, 4], from: 4000, to: 4711)
        let packet =
            version == 4
            ? PacketBuilder.ipv4(datagram, protocolNumber: 17) : PacketBuilder.ipv6(datagram, nextHeader: 17)
        let packets = (0..<20).map { Packet(time: 1_700_000_000_000_000_000 + $0, original: 100, bytes: packet) }
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets, linkType: 101))
            let reader = try Reader()
            let result = try relay(["-r", "\(folder)/in", "-r", "\(folder)/in", "--to", reader.address])
            result.expect(exits: 0)
            try expectLedger(result, captured: 40, encoded: 40)
            try reader.waitForEnd()
            #expect(try Stream(reader.streams[0]).linkTypes == [version == 4 ? 228 : 229])
            // Twice in a row is what libpcap does not do with link type 101.
            try writeFile("\(folder)/out", reader.streams[0])
            expectSame(try packetsByTcpdump("\(folder)/out"), packets + packets)
        }
    }

    @Test("Raw IP of both versions is two link types: 65, what came before is delivered")
    func rawMixed() throws {
        let datagram = PacketBuilder.udp([1], from: 1, to: 2)
        let bytes = [
            PacketBuilder.ipv4(datagram, protocolNumber: 17), PacketBuilder.ipv4(datagram, protocolNumber: 17),
            PacketBuilder.ipv6(datagram, nextHeader: 17),
        ]
        let packets = bytes.map { Packet(time: 1_700_000_000_000_000_000, original: UInt32($0.count), bytes: $0) }
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets, linkType: 101))
            let stream = try relayed(["\(folder)/in"], captured: 2, encoded: 2, exits: 65, naming: ["\(folder)/in"])
            expectSame(stream.packets, Array(packets[..<2]))
        }
    }

    @Test("66: a file that is not there; nothing else happens")
    func missing() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<5)))
            let result = try relay(["-r", "\(folder)/in", "-r", "\(folder)/none", "-w", "\(folder)/out"])
            result.expect(exits: 66, naming: ["\(folder)/none", "No such file"])
            #expect(try directoryEntries(folder) == ["in"])
        }
    }

    @Test("66: a directory is no capture file")
    func directory() throws {
        try withTemporaryDirectory { folder in
            let result = try relay(["-r", folder, "--to", "null"])
            #expect([ExitStatus.exited(66), .exited(74)].contains(result.command.status))
            #expect(result.command.errorText.contains(folder))
        }
    }

    @Test("77: a file that may not be read")
    func unreadable() throws {
        try requireRoot()
        try requireTool("setpriv")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<5)))
            unsafe chmod("\(folder)/in", 0)
            let result = try relay(["-r", "\(folder)/in", "--to", "null"], unprivileged: true)
            result.expect(exits: 77, naming: ["\(folder)/in", "Permission denied"])
        }
    }
}
