import Glibc
import TestSupport
import Testing

@Suite("Collectors that acknowledge")
struct AckTests {
    private let packets = numberedPackets(0..<20_000)

    private func withInput(_ body: (_ path: String) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            try body("\(folder)/in")
        }
    }

    private func packets(of state: CollectorState) -> [Packet] { state.packets.map(Packet.init) }

    @Test("Cut again and again in both directions: every packet once, and both ends have the same account")
    func cuts() throws {
        try withInput { path in
            var manners = CollectorManners()
            (manners.acks, manners.forgets) = (.shuffled(5), true)
            manners.cutsReading = { $0 < 8 && $0 % 2 == 0 ? 100_000 * ($0 + 1) : nil }
            manners.cutsWriting = { $0 < 8 && $0 % 2 == 1 ? 300 * $0 : nil }
            let collector = try ReferenceCollector(manners)
            defer { collector.stop() }
            let result = try relay(["-r", path, "--to", "127.0.0.1:\(collector.port),name=it,ack=required"])
            result.expect(exits: 0)
            let it = try expectLedger(result, captured: packets.count, encoded: packets.count).destination("it")
            #expect(try it.losses.isEmpty && it.count("delivered") == UInt64(packets.count))
            let state = collector.state
            expectSame(packets(of: state), packets)
            #expect(state.violations == [])
            #expect(try it.count("reconnects") == UInt64(state.connections - 1))
            #expect(state.connections > 4)
        }
    }

    @Test("A stream with control blocks is what tshark and capinfos read without a complaint")
    func readable() throws {
        try requireTool("tshark")
        try requireTool("capinfos")
        try withInput { path in
            let collector = try ReferenceCollector()
            defer { collector.stop() }
            let result = try relay(["-r", path, "-c", "500", "--to", "127.0.0.1:\(collector.port),ack=required"])
            result.expect(exits: 0)
            try waitUntil("the end of the stream") { collector.state.streams.count == 1 }
            let stream = "\(path).pcapng"
            try writeFile(stream, collector.state.streams[0])
            let found = try tsharkPackets(stream, interfacesPerSection: [1])
            expectSame(found.map(Packet.init), Array(packets.prefix(500)))
            let capinfos = try run("capinfos", ["-M", "-c", stream]).checked()
            #expect(capinfos.errorText.isEmpty && capinfos.outputText.contains("500"))
        }
    }

    @Test("A token on both sides; another one is refused, nothing is sent, and the run says so")
    func tokens() throws {
        try withInput { path in
            let token = (0..<32).map { _ in UInt8.random(in: 0...255) }
            try writeFile("\(path).token", token)
            var manners = CollectorManners()
            manners.token = token
            let collector = try ReferenceCollector(manners)
            defer { collector.stop() }
            let arguments = [
                "-r", path, "--token-file", "\(path).token", "--to", "127.0.0.1:\(collector.port),name=it",
            ]
            let result = try relay(arguments)
            result.expect(exits: 0)
            expectSame(packets(of: collector.state), packets)
            #expect(collector.state.violations == [])

            manners.token = token.reversed()
            let stranger = try ReferenceCollector(manners)
            defer { stranger.stop() }
            let refused = try relay(
                Array(arguments.dropLast()) + ["127.0.0.1:\(stranger.port),name=it", "--drain-timeout", "500ms"])
            refused.expect(exits: 69, naming: ["proof"])
            #expect(stranger.state.batches.isEmpty)
            #expect(try expectLedger(refused).destination("it").count("protocol_errors") > 0)

            _ = unsafe chmod("\(path).token", 0o666)
            try relay(arguments).expect(exits: 65, naming: ["--token-file", "chmod 600"])
            try relay(["-r", path, "--token-file", "\(path).none", "--to", "h:1"]).expect(
                exits: 66, naming: ["\(path).none"])
        }
    }

    @Test("Two collectors that share: together they have every packet, none has what the other has")
    func shares() throws {
        try withInput { path in
            let collectors = try (0..<2).map { _ in try ReferenceCollector() }
            defer { for collector in collectors { collector.stop() } }
            let destinations = collectors.enumerated().flatMap {
                ["--to", "127.0.0.1:\($0.element.port),name=c\($0.offset)"]
            }
            let result = try relay(
                ["-r", path, "--pace", "100Kpps", "--distribute", "round-robin", "-w", "\(path).all"] + destinations)
            result.expect(exits: 0)
            let states = collectors.map(\.state)
            expectSame(states.flatMap { packets(of: $0) }, packets)
            #expect(states.allSatisfy { $0.violations == [] && !$0.batches.isEmpty })
            let report = try #require(result.report)
            let sum = try ["c0", "c1"].map { try report.destination($0).count("assigned") }.reduce(0, +)
            #expect(sum == UInt64(packets.count))
            #expect(try report.destination("\(path).all").count("delivered") == UInt64(packets.count))
        }
    }
}
