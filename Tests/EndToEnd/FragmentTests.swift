import TestSupport
import Testing

/// A capture of packets, and what the relay must make of it.
private struct Expectation {
    var capture: [Packet] = []
    /// What comes out, with the number of frames each was made from.
    var result: [(packet: Packet, frames: Int)] = []

    /// The next time.
    var time: UInt64 { 1_700_000_000_000_000_000 + UInt64(capture.count) * 1_000_000 + 7 }

    /// Adds packets to the capture, and their datagram at the time of the last of them.
    mutating func add(_ frames: [[UInt8]], whole: [UInt8]) {
        for frame in frames { capture.append(Packet(time: time, original: UInt32(frame.count), bytes: frame)) }
        let last = capture[capture.count - 1].time
        result.append((Packet(time: last, original: UInt32(whole.count), bytes: whole), frames.count))
    }

    /// Adds packets that come out as they are.
    mutating func add(_ frames: [[UInt8]]) {
        for frame in frames {
            let packet = Packet(time: time, original: UInt32(frame.count), bytes: frame)
            capture.append(packet)
            result.append((packet, 1))
        }
    }

    /// The capture as a classic file with nanoseconds.
    var file: [UInt8] {
        var file = ByteWriter(.little)
        file.number(UInt32(0xa1b2_3c4d))
        file.number(UInt16(2))
        file.number(UInt16(4))
        file.number(UInt64(0))
        file.number(UInt32(262_144))
        file.number(UInt32(1))
        for packet in capture {
            file.number(UInt32(packet.time / 1_000_000_000))
            file.number(UInt32(packet.time % 1_000_000_000))
            file.number(UInt32(packet.bytes.count))
            file.number(packet.original)
            file.raw(packet.bytes)
        }
        return file.bytes
    }

    /// Everything at once: plain packets, fragments of both families in and out of order, tagged, duplicates, attacks.
    static func mixture(_ rounds: Int) -> Expectation {
        var all = Expectation()
        for round in 0..<rounds {
            var sample = DatagramSample(size: 40 + round * 37 % 5000, version: round % 2 == 0 ? 4 : 6)
            sample.identification = UInt32(round + 1)
            if round % 3 == 0 {
                sample.link = { packet, version in
                    PacketBuilder.ethernet(packet, type: version == 4 ? 0x0800 : 0x86DD, tags: [(0x8100, 77)])
                }
            }
            all.add([numberedFrame(round)])
            let fragments = sample.fragments(of: round % 4 == 0 ? 24 : 1480)
            if fragments.count == 1 { continue }
            switch round % 7 {
            case 0, 1: all.add(fragments, whole: sample.whole)
            case 2: all.add(fragments.reversed(), whole: sample.whole)
            case 3: all.add([fragments[0]] + fragments, whole: sample.whole)
            case 4: all.add(Array(fragments.dropLast()))
            case 5: all.add(fragments + [sample.fragment(0, 16, more: true)], whole: sample.whole, extra: 1)
            default: all.add(overlapping(fragments, sample))
            }
        }
        return all
    }

    /// Frames of which the last ones do not go into the datagram.
    private mutating func add(_ frames: [[UInt8]], whole: [UInt8], extra: Int) {
        add(Array(frames.dropLast(extra)), whole: whole)
        add(Array(frames.suffix(extra)))
    }

    private static func overlapping(_ fragments: [[UInt8]], _ sample: DatagramSample) -> [[UInt8]] {
        let bytes = [UInt8](repeating: 0xEE, count: 16)
        return [fragments[0], sample.fragment(8, 0, more: true, bytes: bytes)] + fragments.dropFirst()
    }
}

@Suite("Fragments in files")
struct FragmentTests {
    private func run(_ expected: Expectation, _ options: [String]) throws -> (Stream, Report) {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", expected.file)
            let reader = try Reader()
            let result = try relay(["-r", "\(folder)/in", "--to", reader.address] + options)
            result.expect(exits: 0)
            let report = try expectLedger(
                result, captured: expected.capture.count, encoded: expected.result.count)
            try reader.waitForEnd()
            return (try Stream(reader.streams[0]), report)
        }
    }

    @Test("Datagrams come out whole, the others as they came, each once, with a comment", arguments: Threading.allCases)
    func mixture(_ threading: Threading) throws {
        let expected = Expectation.mixture(3000)
        let (stream, report) = try run(expected, threading.options())
        expectSame(stream.packets, expected.result.map(\.packet), "\(threading)")
        let made = Dictionary(zip(stream.packets, stream.fragments)) { one, _ in one }
        #expect(expected.result.allSatisfy { made[$0.packet] == $0.frames })
        let merged = expected.result.reduce(0) { $0 + $1.frames - 1 }
        #expect(try report.count("merged") == UInt64(merged))
        #expect(try report.count("reassembled") == UInt64(expected.result.count { $0.frames > 1 }))
        let reasons = report.reasons("unassembled").filter { $0.value > 0 }
        #expect(Set(reasons.keys).subtracting(["memory_full"]) == ["overlap", "end"])
        #expect(try report.count("fragments") > 1000 && report.count("duplicate_fragments") > 100)
    }

    @Test("With a memory of little and a slow reader nothing is lost and nothing else comes out")
    func slowReader() throws {
        // Batches of one packet and the least pool: the reader of the file is held up all the time.
        let expected = Expectation.mixture(2000)
        let options = ["--memory", "24M", "--batch-packets", "1", "--fragment-memory", "1M"]
        for threading in Threading.allCases {
            let (stream, _) = try run(expected, options + threading.options())
            expectSame(stream.packets, expected.result.map(\.packet), "\(threading)")
        }
    }

    @Test("--reassemble off passes everything on as it is")
    func off() throws {
        var expected = Expectation.mixture(500)
        expected.result = expected.capture.map { ($0, 1) }
        let (stream, report) = try run(expected, ["--reassemble", "off"])
        expectSame(stream.packets, expected.capture, "off")
        #expect(try report.count("merged") == 0 && report.count("fragments") == 0)
        #expect(stream.fragments.allSatisfy { $0 == 1 })
    }

    @Test(
        "--overlap chooses whose bytes stay",
        arguments: [
            ("first", "AABC"), ("last", "ACCC"), ("bsd", "AACC"), ("bsd-right", "ACCC"), ("linux", "AACC"),
            ("windows", "AACC"), ("solaris", "AACC"),
        ])
    func overlap(_ policy: String, _ winners: String) throws {
        // B at 16..<24 and A at 0..<16 are there when C comes at 8..<32.
        let sample = DatagramSample(size: 32)
        func bytes(_ letter: Character, _ count: Int) -> [UInt8] {
            [UInt8](repeating: letter.asciiValue!, count: count)
        }
        var expected = Expectation()
        expected.add(
            [
                sample.fragment(16, 0, more: true, bytes: bytes("B", 8)),
                sample.fragment(0, 0, more: true, bytes: bytes("A", 16)),
                sample.fragment(8, 0, more: false, bytes: bytes("C", 24)),
            ], whole: sample.whole(winners.flatMap { bytes($0, 8) }))
        let (stream, report) = try run(expected, ["--overlap", policy])
        expectSame(stream.packets, expected.result.map(\.packet), policy)
        #expect(try report.count("overlapped_datagrams") == 1)
    }

    @Test("--fragment-timeout goes by the time of the packets")
    func timeout() throws {
        let sample = DatagramSample(size: 100)
        for (timeout, isLate) in [("2s", true), ("4s", false)] {
            var expected = Expectation()
            expected.add([sample.fragments(of: 56)[0]])
            for number in 0..<3000 { expected.add([numberedFrame(number)]) }
            if isLate {
                expected.add([sample.fragments(of: 56)[1]])
            } else {
                expected.add([sample.fragments(of: 56)[1]], whole: sample.whole)
                expected.result.removeFirst()
            }
            let (stream, report) = try run(expected, ["--fragment-timeout", timeout])
            expectSame(stream.packets, expected.result.map(\.packet), timeout)
            #expect(try report.count("unassembled", "timeout") == (isLate ? 1 : 0))
        }
    }

    @Test("-s cuts the whole datagram, -c counts what was captured, -f sees what was captured")
    func otherOptions() throws {
        let sample = DatagramSample(size: 3000)
        var expected = Expectation()
        expected.add(sample.fragments(of: 1480), whole: sample.whole)
        let whole = expected.result[0].packet
        let cut = try run(expected, ["-s", "500"])
        #expect(cut.0.packets == [whole.cut(to: 500)])
        #expect(cut.0.fragments == [3])
        #expect(try cut.1.count("cut") == 1)
        // The filter takes the fragment away in which no port can be seen.
        var filtered = Expectation()
        filtered.add([sample.fragments(of: 1480)[0]])
        for fragment in sample.fragments(of: 1480).dropFirst() {
            filtered.capture.append(Packet(time: filtered.time, original: UInt32(fragment.count), bytes: fragment))
        }
        let seen = try run(filtered, ["-f", "ip[6:2] & 0x1fff = 0"])
        expectSame(seen.0.packets, filtered.result.map(\.packet), "-f")
        #expect(try seen.1.count("filtered", "expression") == 2)
        try withTemporaryDirectory { folder in
            expected.add(sample.fragments(of: 1480), whole: sample.whole)
            try writeFile("\(folder)/in", expected.file)
            let result = try relay(["-r", "\(folder)/in", "--to", "null", "-c", "4"])
            let report = try expectLedger(result, encoded: 2)
            #expect(try report.count("reassembled") == 1 && report.count("unassembled", "end") == 1)
        }
    }

    @Test("tshark and tcpdump read the whole datagrams and their comments")
    func foreignReaders() throws {
        for tool in ["tshark", "tcpdump", "capinfos"] { try requireTool(tool) }
        let expected = Expectation.mixture(300)
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", expected.file)
            let result = try relay(["-r", "\(folder)/in", "-w", "\(folder)/out"])
            result.expect(exits: 0)
            expectSame(try packetsByTshark("\(folder)/out"), expected.result.map(\.packet), "tshark")
            expectSame(try packetsByTcpdump("\(folder)/out"), expected.result.map(\.packet), "tcpdump")
            let comments = try TestSupport.run(
                "tshark", ["-n", "-r", "\(folder)/out", "-T", "fields", "-e", "frame.comment"]
            ).checked().outputLines.filter { !$0.isEmpty }
            let made = expected.result.map(\.frames).filter { $0 > 1 }
            #expect(comments.sorted() == made.map { "reassembled from \($0) fragments" }.sorted())
            try TestSupport.run("capinfos", ["\(folder)/out"]).checked()
        }
    }

    @Test("Real captures come out as tshark puts them together")
    func realCaptures() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        try requireTool("tshark")
        for (name, datagrams) in [("afs.pcap", 51), ("ip-frag.pcap", 190), ("ip6_fragments.pcap", 4)] {
            try withTemporaryDirectory { output in
                let result = try relay(["-r", "\(folder)/\(name)", "-w", "\(output)/out"])
                let report = try expectLedger(result)
                #expect(try report.count("reassembled") == UInt64(datagrams))
                let theirs = try lengths("\(folder)/\(name)", "ip.reassembled.length", "ipv6.reassembled.length")
                let ours = try lengths("\(output)/out", "ip.len", "ipv6.plen", where: "frame.comment")
                // The length that IPv4 tells includes its header of 20 bytes.
                #expect(ours == theirs.map { $0 + (name.hasPrefix("ip6") ? 0 : 20) }, "\(name)")
            }
        }
    }

    /// The values of the first of two fields that a packet has, in ascending order.
    private func lengths(_ path: String, _ one: String, _ other: String, where filter: String = "frame") throws -> [Int]
    {
        let fields = ["-Y", filter, "-T", "fields", "-E", "occurrence=f", "-e", one, "-e", other]
        let lines = try TestSupport.run("tshark", ["-n", "-r", path] + fields).checked().outputLines
        return lines.compactMap { $0.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) } }.sorted()
    }

    @Test("64: memory for fragments that is too little for the workers there are")
    func tooLittle() throws {
        let result = try relay(["-r", "none", "--to", "null", "--fragment-memory", "1K"])
        result.expect(exits: 64, naming: ["--fragment-memory 1K"])
    }
}
