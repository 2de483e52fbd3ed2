import TestSupport
import Testing

/// Runs one or several files through the relay to a TCP reader and returns the reader's stream.
func relayed(
    _ inputs: [String], _ more: [String] = [], input: [UInt8] = [], captured: Int? = nil, encoded: Int? = nil,
    exits code: Int32 = 0, naming words: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
) throws -> Stream {
    let reader = try Reader()
    let result = try relay(inputs.flatMap { ["-r", $0] } + more + ["--to", reader.address], input: input)
    result.expect(exits: code, naming: words, sourceLocation: sourceLocation)
    try reader.waitForEnd()
    try expectLedger(result, captured: captured, encoded: encoded, sourceLocation: sourceLocation)
    #expect(reader.streams.count == 1, sourceLocation: sourceLocation)
    let stream = try Stream(reader.streams[0])
    #expect(stream.rest == 0, "the stream ends with a whole block", sourceLocation: sourceLocation)
    let destination = try #require(result.report).onlyDestination()
    #expect(try destination.count("delivered") == UInt64(stream.packets.count), sourceLocation: sourceLocation)
    return stream
}

@Suite("Files through TCP")
struct FileInputTests {
    @Test("Every kind of capture arrives, as the test, tshark and tcpdump see it", arguments: CaptureKinds.all)
    func everyKind(_ kind: BuiltCapture) throws {
        try requireTool("tshark")
        try requireTool("tcpdump")
        let expected = kind.packets.map(Packet.init)
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", kind.bytes)
            let reader = try Reader()
            let result = try relay(["-r", "\(folder)/in", "--to", reader.address])
            result.expect(exits: 0)
            try expectLedger(result, captured: expected.count, encoded: expected.count)
            try reader.waitForEnd()
            let stream = reader.streams[0]
            expectSame(try Stream(stream).packets, expected, "the stream")
            // Times beyond what tshark and tcpdump can say are checked above.
            guard kind.tsharkDiffers == nil, !expected.isEmpty else { return }
            try writeFile("\(folder)/out", stream)
            expectSame(try packetsByTshark("\(folder)/out"), expected, "tshark")
            expectSame(try packetsByTcpdump("\(folder)/out"), expected, "tcpdump")
        }
    }

    @Test("Real captures arrive as tshark finds them in the file, up to a packet of another link type")
    func realCaptures() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        try requireTool("tshark")
        let names = try directoryEntries(folder).filter { $0.contains(".pcap") }
        #expect(!names.isEmpty)
        for name in names {
            let path = "\(folder)/\(name)"
            let linkTypes = try run("tshark", ["-n", "-r", path, "-T", "fields", "-e", "frame.encap_type"]).checked()
                .outputLines
            let fitting = linkTypes.prefix { $0 == linkTypes.first }.count
            let expected = Array(try packetsByTshark(path).prefix(fitting))
            let stream = try relayed(
                [path], ["--reassemble", "off"], captured: fitting, encoded: fitting,
                exits: fitting == linkTypes.count ? 0 : 65,
                naming: fitting == linkTypes.count ? [] : [path, "link type"])
            expectSame(stream.packets, expected, name)
        }
    }

    @Test("Interfaces of another link type do no harm without packets, wherever they stand")
    func unusedInterfaces() throws {
        var file = PcapngBuilder()
        file.section(.little)
        for linkType: UInt16 in [113, 101, 1, 0, 1] {
            file.interface(linkType: linkType, [.text(2, "type\(linkType)")])
        }
        for number in 0..<20 { file.enhanced(number % 2 * 2 + 2, units: 5, sampleBytes(60, seed: number)) }
        let built = file.built("")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", built.bytes)
            let stream = try relayed(["\(folder)/in"], captured: 20, encoded: 20)
            expectSame(stream.packets, built.packets.map(Packet.init))
            // The two descriptions of link type 1 are equal, so they are one interface.
            #expect(stream.linkTypes == [1] && stream.interfaces == ["type1"])
        }
    }

    @Test("Interfaces keep their names, descriptions and packets")
    func interfaces() throws {
        try requireTool("tshark")
        var file = PcapngBuilder()
        file.section(.big)
        for number in 0..<5 { file.interface(resolution: UInt8(number + 5), [.text(2, "port\(number)")]) }
        for number in 0..<50 {
            file.enhanced(number % 5, units: 1_000_000_000_000, sampleBytes(60 + number, seed: number))
        }
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", file.built("").bytes)
            let stream = try relayed(["\(folder)/in"])
            let found = zip(stream.packetInterfaces, stream.packets).map { (stream.interfaces[Int($0)], $1.bytes) }
            let expected = (0..<50).map { ("port\($0 % 5)", sampleBytes(60 + $0, seed: $0)) }
            #expect(Set(found.map { "\($0)" }) == Set(expected.map { "\($0)" }))
            #expect(stream.interfaces == (0..<5).map { "port\($0)" })
        }
    }

    @Test("Several files, one after the other", arguments: Threading.allCases)
    func severalFiles(threading: Threading) throws {
        try withTemporaryDirectory { folder in
            let parts = [numberedPackets(0..<700), numberedPackets(700..<701), numberedPackets(701..<3000)]
            for (number, part) in parts.enumerated() { try writeFile("\(folder)/\(number)", captureFile(part)) }
            let stream = try relayed(
                (0..<3).map { "\(folder)/\($0)" }, threading.options(), captured: 3000, encoded: 3000)
            expectSame(stream.packets, parts.flatMap { $0 })
        }
    }

    @Test("Standard input, whole and in drops", arguments: Threading.allCases)
    func standardInput(threading: Threading) throws {
        let packets = numberedPackets(0..<500)
        let bytes = captureFile(packets)
        expectSame(try relayed(["-"], input: bytes, captured: 500, encoded: 500).packets, packets)
        let reader = try Reader()
        let running = try RunningRelay(["-r", "-", "--to", reader.address] + threading.options())
        // What came before a pause goes out in it: the input has not ended.
        try running.child.writeInput(Array(bytes[..<50_000]))
        let whole = (50_000 - 24) / 216
        try waitUntil("what came before the pause") {
            try reader.streams.first.map { try Stream($0).packets.count } == whole
        }
        try running.child.writeInput(Array(bytes[50_000..<50_003]))
        try running.child.writeInput(Array(bytes[50_003...]))
        running.child.closeInput()
        let result = try running.finish()
        result.expect(exits: 0)
        try expectLedger(result, captured: 500, encoded: 500)
        try reader.waitForEnd()
        expectSame(try Stream(reader.streams[0]).packets, packets)
    }

    @Test("Nothing to relay: an empty capture is a stream without packets")
    func noPackets() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile([]))
            let stream = try relayed(["\(folder)/in"], captured: 0, encoded: 0)
            #expect(stream.packets.isEmpty && stream.interfaces.count == 1 && stream.sections == 1)
        }
    }

    @Test("-f takes what tcpdump takes")
    func filter() throws {
        try requireTool("tcpdump")
        let expression = "udp[8:4] >= 100 and (udp[11] & 3 == 1 or greater 1000)"
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<400) + numberedPackets(400..<420, size: 1200)
            try writeFile("\(folder)/in", captureFile(packets))
            try run(
                "tcpdump",
                ["-n", "-r", "\(folder)/in", "--time-stamp-precision=nano", "-Z", "root", "-w", "\(folder)/theirs"]
                    + [expression]
            ).checked()
            let expected = try classicPackets(readFile("\(folder)/theirs"))
            #expect(expected.count > 50 && expected.count < 400)
            let reader = try Reader()
            let result = try relay(["-r", "\(folder)/in", "-f", expression, "--to", reader.address])
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: packets.count, encoded: expected.count)
            #expect(try report.count("filtered", "expression") == UInt64(packets.count - expected.count))
            try reader.waitForEnd()
            expectSame(try Stream(reader.streams[0]).packets, expected)
        }
    }

    @Test("-s cuts, keeps the length on the wire and counts")
    func snapLength() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<100, size: 60) + numberedPackets(100..<150, size: 300)
            try writeFile("\(folder)/in", captureFile(packets))
            let reader = try Reader()
            let result = try relay(["-r", "\(folder)/in", "-s", "90", "--to", reader.address])
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 150, encoded: 150)
            #expect(try report.count("cut") == 50)
            try reader.waitForEnd()
            expectSame(try Stream(reader.streams[0]).packets, packets.map { $0.cut(to: 90) })
        }
    }

    @Test("-c takes the first packets that match")
    func count() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<1000)
            try writeFile("\(folder)/in", captureFile(packets))
            let stream = try relayed(["\(folder)/in"], ["-c", "321"], encoded: 321)
            expectSame(stream.packets, Array(packets[..<321]))
            let odd = try relayed(["\(folder)/in"], ["-c", "10", "-f", "udp[11] & 1 == 1"], encoded: 10)
            expectSame(odd.packets, (0..<10).map { packets[2 * $0 + 1] })
            // More than there are is no error.
            expectSame(try relayed(["\(folder)/in"], ["-c", "5000"], encoded: 1000).packets, packets)
        }
    }

    @Test("--pace holds packets back, and loses none")
    func pace() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<300)
            try writeFile("\(folder)/in", captureFile(packets))
            for pace in ["600pps", "2Mbps"] {
                let before = ContinuousClock.now
                let stream = try relayed(["\(folder)/in"], ["--pace", pace], captured: 300, encoded: 300)
                // 299 of 600 per second; 299 * 1600 of 2 million bits per second is 240 ms.
                #expect(ContinuousClock.now - before >= .milliseconds(pace == "600pps" ? 490 : 230))
                expectSame(stream.packets, packets)
                #expect(stream.batches.count > 10, "batches close by time")
            }
            var slow = packets
            for (number, packet) in packets.enumerated() {
                slow[number] = Packet(
                    time: packet.time + UInt64(number) * 1_000_000, original: packet.original, bytes: packet.bytes)
            }
            try writeFile("\(folder)/in", captureFile(slow))
            let before = ContinuousClock.now
            expectSame(try relayed(["\(folder)/in"], ["--pace", "recorded"], captured: 300).packets, slow)
            #expect(ContinuousClock.now - before >= .milliseconds(290))
        }
    }

    @Test("--duration ends the reading, and everything read is delivered")
    func duration() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<100_000, size: 60)
            try writeFile("\(folder)/in", captureFile(packets))
            let stream = try relayed(["\(folder)/in"], ["--pace", "1000pps", "--duration", "500ms"])
            #expect(stream.packets.count >= 1 && stream.packets.count < 100_000)
            let numbers = Set(stream.packets.map { number(of: $0) })
            #expect(numbers == Set(0..<stream.packets.count), "a beginning without gaps")
        }
    }
}
