import TestSupport
import Testing

@Suite("Forms of output")
struct WireTests {
    /// Packets of every size, among them some that classic pcap cannot hold.
    private let packets =
        numberedPackets(0..<300) + numberedPackets(300..<306, size: 65_535) + numberedPackets(306..<310, size: 65_536)
        + numberedPackets(310..<313, size: 200_000) + numberedPackets(313..<400, size: 60)

    @Test("wire=pcap and wire=pcap-ns are what tcpdump reads; longer packets are cut, counted, and keep their length")
    func classic() throws {
        try requireTool("tcpdump")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            let (coarse, fine) = (try Reader(), try Reader())
            let result = try relay(
                ["-r", "\(folder)/in", "--to", "\(coarse.address),wire=pcap,name=coarse"]
                    + ["--to", "\(fine.address),wire=pcap-ns,name=fine"])
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: packets.count, encoded: packets.count)
            #expect(try report.destination("coarse").count("cut") == 7)
            #expect(try report.destination("fine").count("cut") == 7)
            for (reader, isFine) in [(coarse, false), (fine, true)] {
                try reader.waitForEnd()
                let expected = packets.map { $0.cut(to: 65_535) }.map { isFine ? $0 : $0.inMicroseconds }
                // Oldest first: the very order of the file.
                #expect(try classicPackets(reader.streams[0]) == expected)
                try writeFile("\(folder)/out", reader.streams[0])
                #expect(try packetsByTcpdump("\(folder)/out") == expected)
            }
        }
    }

    @Test("-w FILE is the input packet by packet, for tshark and tcpdump too")
    func outputFile() throws {
        try requireTool("tshark")
        try requireTool("tcpdump")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            let result = try relay(["-r", "\(folder)/in", "-w", "\(folder)/out"])
            result.expect(exits: 0)
            try expectLedger(result, captured: packets.count, encoded: packets.count)
            let stream = try Stream(readFile("\(folder)/out"))
            #expect(stream.packets == packets && stream.rest == 0)
            #expect(stream.batches.map(\.number) == Array(0..<UInt64(stream.batches.count)))
            #expect(try packetsByTcpdump("\(folder)/out") == packets)
            #expect(try packetsByTshark("\(folder)/out") == packets)
        }
    }

    @Test("-w - is read by tshark from a pipe")
    func standardOutput() throws {
        try requireTool("tshark")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            let program = try builtExecutable("spillway")
            let script =
                "'\(program)' run -r '\(folder)/in' -w - --memory 48M --report '\(folder)/report' | tshark -n -r - -w '\(folder)/out'"
            let result = try run("bash", ["-o", "pipefail", "-c", script], environment: withoutOwnVariables()).checked()
            try expectLedger(
                RelayResult(command: result, report: Report(readFile("\(folder)/report"))), captured: packets.count,
                encoded: packets.count)
            #expect(try packetsByTcpdump("\(folder)/out") == packets)
        }
    }

    @Test("A reader of -w - that goes away: 74, and its loss is counted")
    func brokenPipe() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<20_000)))
            let program = try builtExecutable("spillway")
            let script =
                "'\(program)' run -r '\(folder)/in' -w - --memory 48M --report '\(folder)/report' | head -c 100000 > /dev/null"
            let result = try run("bash", ["-o", "pipefail", "-c", script], environment: withoutOwnVariables())
            #expect(result.status == .exited(74), "\(result.errorText)")
            let report = try expectLedger(
                RelayResult(command: result, report: Report(readFile("\(folder)/report"))), captured: 20_000)
            let lost = try report.onlyDestination().losses
            #expect(lost.keys.sorted() == ["write"])
        }
    }

    @Test("Everything at once: three wires, two orders, a file and null, each with everything")
    func everythingAtOnce() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            let readers = try (0..<4).map { _ in try Reader() }
            let manners = ["", ",order=oldest-first", ",wire=pcap,order=newest-first", ",wire=pcap-ns"]
            let result = try relay(
                ["-r", "\(folder)/in", "-w", "\(folder)/out", "--to", "null"]
                    + zip(readers, manners).enumerated().flatMap {
                        ["--to", "\($1.0.address)\($1.1),name=n\($0)"]
                    })
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: packets.count, encoded: packets.count)
            #expect(report.destinations.count == 6)
            for destination in report.destinations {
                #expect(try destination.count("delivered") == UInt64(packets.count), "\(destination.name)")
                #expect(destination.isUp, "\(destination.name)")
            }
            for reader in readers { try reader.waitForEnd() }
            expectSame(try Stream(readers[0].streams[0]).packets, packets, "newest first")
            #expect(try Stream(readers[1].streams[0]).packets == packets)
            expectSame(
                try classicPackets(readers[2].streams[0]), packets.map { $0.cut(to: 65_535).inMicroseconds }, "pcap")
            #expect(try classicPackets(readers[3].streams[0]) == packets.map { $0.cut(to: 65_535) })
            #expect(try Stream(readFile("\(folder)/out")).packets == packets)
        }
    }

    @Test("The same batch has the same bytes wherever it goes")
    func sameBytes() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            let reader = try Reader()
            let result = try relay(
                ["-r", "\(folder)/in", "-w", "\(folder)/out", "--to", "\(reader.address),order=oldest-first"])
            result.expect(exits: 0)
            try expectLedger(result, captured: packets.count, encoded: packets.count)
            try reader.waitForEnd()
            let written = try readFile("\(folder)/out")
            let sent = reader.streams[0]
            // Both end with statistics, which have times of their own.
            let end = written.count - 128
            #expect(sent.count > end && sent[..<end] == written[..<end])
        }
    }
}
