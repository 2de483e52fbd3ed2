import FileService
import Glibc
import Machine
import TestSupport
import Testing

@Suite("Queries over captures", .serialized)
struct QueryTests {
    /// Packets of UDP, one each millisecond from a start, even ones to port 53.
    private func packets(_ count: Int, from start: UInt64, seed: Int) -> [SamplePacket] {
        (0..<count).map { number in
            let payload = sampleBytes(40 + number % 700, seed: seed + number)
            let bytes = PacketBuilder.ethernet(
                PacketBuilder.ipv4(
                    PacketBuilder.udp(payload, from: 1000, to: number % 2 == 0 ? 53 : 9999), protocolNumber: 17),
                type: 0x0800)
            return SamplePacket(
                time: start + UInt64(number) * 1_000_000, original: UInt32(bytes.count), interface: 0, bytes: bytes)
        }
    }

    private func classic(_ packets: [SamplePacket]) -> [UInt8] {
        var builder = ClassicBuilder(.nanoseconds)
        for packet in packets {
            builder.packet(
                seconds: UInt32(packet.time / 1_000_000_000), fraction: UInt32(packet.time % 1_000_000_000),
                packet.bytes)
        }
        return builder.built("x").bytes
    }

    /// What tshark finds in an answer, without the numbers of interfaces, which are the answer's own.
    private func found(_ answer: [UInt8], _ folder: String) throws -> [SamplePacket] {
        let path = "\(folder)/.answer.pcapng"
        try writeFile(path, answer)
        let lines = try run(
            "tshark",
            ["-n", "-r", path, "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "udp.payload"]
        ).checked().outputLines
        return lines.map { line in
            let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
            let time = UInt64(parts[0].filter { $0 != "." })!
            return SamplePacket(time: time, original: UInt32(parts[1])!, interface: 0, bytes: Array(parts[2].utf8))
        }
    }

    /// The same of packets as the test made them.
    private func seen(_ packets: [SamplePacket]) -> [SamplePacket] {
        packets.map { packet in
            let payload = packet.bytes[42...].map { byte in
                String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
            }
            return SamplePacket(
                time: packet.time, original: packet.original, interface: 0, bytes: Array(payload.joined().utf8))
        }
    }

    static let start: UInt64 = 1_700_000_000_000_000_000

    @Test("Times and filters choose among the packets of several files; the answer is one pcapng")
    func plainFiles() throws {
        try requireTool("tshark")
        let one = packets(300, from: Self.start, seed: 1)
        let two = packets(300, from: Self.start + 1_000_000_000, seed: 1000)
        let files = ["b.pcap": classic(one), "a.pcap": classic(two), "note.txt": Array("no capture".utf8), "empty": []]
        try withServer(files: files) { rig in
            let all = one + two
            let even = all.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            let cases: [(String, [SamplePacket])] = [
                ("from=0", all), ("from=1700000001", two), ("to=1700000000.100", Array(one[...100])),
                ("from=1700000000.2&to=1700000001.05", Array(one[200...] + two[...50])),
                ("from=2023-11-14T22:13:20.25Z&to=2023-11-14T22:13:21Z", Array(one[250...] + two[..<1])),
                ("filter=port+53", even), ("filter=port%2053&to=1700000000.5", Array(even[..<150])),
                ("filter=tcp", []), ("from=-1h", []), ("from=1800000000", []),
            ]
            for (query, expected) in cases {
                let response = try rig.get("/?\(query)")
                #expect(response.status == 200 && response.fields["content-type"] == "application/vnd.tcpdump.pcap")
                #expect(try found(response.body, rig.folder) == seen(expected), "\(query)")
                if !expected.isEmpty {
                    let count = try run("tcpdump", ["-nr", "\(rig.folder)/.answer.pcapng"]).checked().outputLines.count
                    #expect(count == expected.count, "\(query)")
                }
            }
            for wrong in ["from=xx", "to=2023-13-01T00:00:00Z", "from=5&to=4", "filter=blah+blah", "from=-5y"] {
                #expect(try rig.get("/?\(wrong)").status == 400, "\(wrong)")
            }
            let long = "filter=" + [String](repeating: "port+1", count: 400).joined(separator: "+or+")
            let refused = try rig.get("/?\(long)")
            #expect(refused.status == 400 && String(decoding: refused.body, as: UTF8.self).contains("2048 bytes"))
            #expect(try rig.figure("queries") == cases.count)
        }
    }

    @Test("Batches that lie wholly inside the times go as they are")
    func batches() throws {
        try requireTool("tshark")
        let all = packets(1000, from: Self.start, seed: 5)
        try withServer { rig in
            try writeFile("\(rig.folder)/.in.pcap", classic(all))
            let program = try builtExecutable("spillway")
            try run(
                program,
                [
                    "run", "-r", "\(rig.folder)/.in.pcap", "-w", "\(rig.folder)/x.pcapng", "--batch-packets", "100",
                    "--batch-time", "10s",
                ]
            ).checked()
            let batches = try ParsedStream(readFile("\(rig.folder)/x.pcapng")).batches
            #expect(batches.count >= 10)
            let whole = try rig.get("/?from=0")
            #expect(try ParsedStream(whole.body).batches == batches)
            #expect(try found(whole.body, rig.folder) == seen(all))
            // From the middle of the second to the middle of the ninth.
            let part = try rig.get("/?from=1700000000.150&to=1700000000.850")
            #expect(try found(part.body, rig.folder) == seen(Array(all[150...850])))
            let inside = batches.filter { batch in
                batch.packets.allSatisfy { Self.start + 150_000_000...Self.start + 850_000_000 ~= $0.time }
            }
            #expect(inside.count >= 6)
            for batch in inside { #expect(part.body.firstRange(of: batch.bytes) != nil) }
            #expect(
                try found(rig.get("/?filter=port+53").body, rig.folder)
                    == seen(stride(from: 0, to: 1000, by: 2).map { all[$0] }))
            // A file that somebody still writes, or that was cut, gives what is whole in it.
            let bytes = try readFile("\(rig.folder)/x.pcapng")
            for cut in [bytes.count - 1, bytes.count / 2, 1000, 200, 3] {
                try writeFile("\(rig.folder)/x.pcapng", Array(bytes[..<cut]))
                let answer = try rig.get("/?from=0")
                #expect(answer.status == 200)
                let packets = try found(answer.body, rig.folder)
                #expect(packets == Array(seen(all)[..<packets.count]))
            }
        }
    }

    @Test("Captures of every kind are in the answer")
    func kinds() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        let names = try directoryEntries(folder).filter { $0.contains(".pcap") }
        var files: [String: [UInt8]] = [:]
        for name in names { files[name] = try readFile("\(folder)/\(name)") }
        try withServer(files: files) { rig in
            let answer = try rig.get("/?from=0")
            try writeFile("\(rig.folder)/.answer", answer.body)
            func lines(_ path: String) throws -> [String] {
                try run(
                    "tshark",
                    [
                        "-n", "-r", path, "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e",
                        "frame.cap_len",
                    ]
                )
                .outputLines
            }
            let expected = try names.flatMap { try lines("\(folder)/\($0)") }
            #expect(try lines("\(rig.folder)/.answer").sorted() == expected.sorted())
        }
    }
}
