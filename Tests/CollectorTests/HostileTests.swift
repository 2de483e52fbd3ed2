import Glibc
import TestSupport
import Testing

@Suite("Peers that are not what they should be")
struct HostileTests {
    static let run = SampleRun(seed: 51)
    static let token = sampleBytes(32, seed: 99)

    /// Runs `body` against a collector to which a good sensor is connected all the time, and checks at the end that the
    /// good one lost nothing, and that the figure named counted the bad ones.
    private func withCollector(
        _ options: [String] = [], counter: String, count: UInt64? = nil, token: [UInt8]? = nil,
        _ body: (UInt16) throws -> Void
    ) throws {
        try withTemporaryDirectory { folder in
            var options = options
            if let token {
                try writeFile("\(folder)/token", token)
                options += ["--token-file", "\(folder)/token"]
            }
            let collector = try RunningCollector("\(folder)/out", options)
            let batches = Deliveries.batches(SampleRun(seed: 52), 0..<6)
            let good = try #require(Player(port: collector.port, sensor: "good"))
            #expect(try Self.open(good, batches, token: token))
            good.connection.send(Player.preamble(batches[0].run) + batches[..<3].flatMap(\.bytes))
            try body(collector.port)
            good.connection.send(batches[3...].flatMap(\.bytes))
            #expect(try good.waitAcknowledged(batches))
            let report = try collector.stop()
            let files = try CollectedFile.all(in: "\(folder)/out").filter { $0.name.hasPrefix("good-") }
            #expect(difference(files, batches) == nil)
            if let count { #expect(report[counter] == count) } else { #expect((report[counter] ?? 0) > 0) }
        }
    }

    private static func open(_ player: Player, _ batches: [SampleBatch], token: [UInt8]?) throws -> Bool {
        guard let token else { return try player.open(batches) }
        guard try player.wait(until: { $0.helloBlock != nil }) else { return false }
        let hello = Array(player.helloBlock!.bytes[16..<48])
        let runs = Player.runs(of: batches)
        let session = Player.session(
            sensor: player.sensor, destination: player.destination, runs: runs, helloChallenge: hello, token: token)
        player.connection.send(Player.sectionHeader + session)
        guard try player.wait(until: { $0.proofBlock != nil }) else { return false }
        let expected = Player.proof(
            "collector", token, 1, hello, sampleBytes(32, seed: 3), player.sensor, player.destination,
            Array(session[48..<80]))
        #expect(Array(player.proofBlock!.bytes[16..<48]) == expected)
        player.connection.send(Player.inventory(batches, runs))
        return try player.wait { $0.haveIsComplete }
    }

    /// Sends bytes and waits for END and for the end of the connection.
    private func refused(_ port: UInt16, _ bytes: [UInt8], code: UInt16, _ comment: String = "") throws {
        let player = try #require(Player(port: port))
        player.connection.send(bytes)
        _ = try player.wait { $0.hasEnded }
        #expect(player.end?.code == code, "\(comment) \(player.end.map { "\($0)" } ?? "no END")")
    }

    private static let greeting =
        Player.sectionHeader + Player.session(sensor: "s", destination: "d", runs: [run])
    private static let opened = greeting + Player.list(Player.owed, run, [], isLast: true) + Player.preamble(run)

    @Test("A plain stream, and what is no stream at all, are told what is wanted")
    func plain() throws {
        try withCollector(counter: "plain_stream", count: 3) { port in
            let batches = Deliveries.batches(Self.run, 0..<2)
            try refused(port, Player.sectionHeader + Player.preamble(Self.run) + batches[0].bytes, code: 6)
            try refused(port, Array("GET / HTTP/1.1\r\n\r\n".utf8), code: 6)
            let player = try #require(Player(port: port))
            player.connection.send(Player.sectionHeader + batches[0].bytes)
            _ = try player.wait { $0.hasEnded }
            #expect(player.end?.text.contains("plain stream") == true)
        }
    }

    @Test("A batch with any byte flipped ends the connection and is not taken; the good bytes are taken afterwards")
    func corruptBatches() throws {
        try withCollector(counter: "malformed") { port in
            let batch = Deliveries.batches(Self.run, 0..<1, packets: 1, length: 4)[0]
            for place in batch.bytes.indices {
                var bytes = batch.bytes
                bytes[place] ^= 0x81
                let player = try #require(Player(port: port))
                player.connection.send(Self.opened + bytes)
                player.connection.finish()
                _ = try player.wait { $0.hasEnded }
                #expect(player.acknowledged.isEmpty && player.had.isEmpty, "byte \(place)")
            }
            #expect(try Deliveries.deliver([batch], to: port))
        }
    }

    @Test("Wild lengths, wrong order and impossible lists are refused with the code for it")
    func wild() throws {
        func block(_ type: UInt32, length: UInt32) -> [UInt8] {
            var out = ByteWriter(.little)
            out.number(type)
            out.number(length)
            return out.bytes
        }
        let run = Self.run
        try withCollector(counter: "malformed") { port in
            for (bytes, code) in [
                (Self.opened + block(6, length: 0xffff_fffc), 5), (Self.opened + block(6, length: 13), 6),
                (Self.opened + block(0x8053_5041, length: 0x7fff_fffc), 5), (Self.opened + block(5, length: 0), 6),
                (Self.opened + Player.list(Player.owed, run, []), 6),
                (Self.greeting + Player.control(0x8053_504f, [1, 2, 3, 4]), 6),
                (Self.greeting + Player.list(Player.owed, run, mark: 5, [7..<9], isLast: true), 6),
                (Self.greeting + Player.list(Player.owed, run, mark: 9, [3..<5, 4..<6], isLast: true), 6),
                (Self.greeting + Player.list(Player.owed, SampleRun(seed: 53), [], isLast: true), 6),
                (Self.greeting + Player.list(Player.owed, run, mark: .max - 1, [], isLast: true), 6),
                (Self.greeting + Player.list(Player.owed, run, mark: 1 << 62 + 1, [], isLast: true), 6),
                (Player.sectionHeader + Player.session(sensor: ".s", destination: "d", runs: [run]), 4),
                (Player.sectionHeader + Player.session(sensor: "s", destination: "d", runs: [run], version: 2), 2),
                (Player.sectionHeader + Player.list(Player.owed, run, [], isLast: true), 6),
                (Self.opened + SampleRun(seed: 1, linkType: 228).interfaces[0], 6),
                (Player.sectionHeader + block(0x8053_5053, length: 5000), 5),
            ] as [([UInt8], UInt16)] {
                try refused(port, bytes, code: code)
            }
        }
    }

    @Test("A run belongs to the names that first presented it")
    func foreignRuns() throws {
        try withCollector(counter: "name", count: 2) { port in
            #expect(try Deliveries.deliver(Deliveries.batches(Self.run, 0..<2), to: port))
            for (sensor, destination) in [("other", "d"), ("s", "other")] {
                let session = Player.session(sensor: sensor, destination: destination, runs: [Self.run])
                try refused(
                    port, Player.sectionHeader + session + Player.list(Player.owed, Self.run, [], isLast: true), code: 4
                )
            }
        }
    }

    @Test("A sensor that has had as many runs as there may be is let in: what was presented longest ago is forgotten")
    func manyRuns() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let collector = try RunningCollector("\(folder)/out")
            let runs = (0..<1030).map { SampleRun(seed: 9000 + $0) }
            let kept = Deliveries.batches(runs[0], 0..<2)
            #expect(try Deliveries.deliver(kept, to: collector.port))
            for run in runs.dropFirst() {
                let player = try #require(Player(port: collector.port))
                let nothing = Player.list(Player.owed, run, [], isLast: true)
                #expect(try player.open([], runs: [run], owed: nothing))
            }
            // What is in the journal is never forgotten.
            #expect(try Deliveries.deliver(kept, to: collector.port))
            let report = try collector.stop()
            #expect(report["batches"] == 2 && report["forgotten_runs"] == 6)
        }
    }

    @Test("With a token: the right one is let in and answered with a proof, another one and none are not")
    func tokens() throws {
        try withCollector(counter: "proof", count: 3, token: Self.token) { port in
            for token in [nil, sampleBytes(32, seed: 98), [UInt8](repeating: 0, count: 32)] {
                let player = try #require(Player(port: port))
                #expect(try player.wait { $0.helloBlock != nil })
                #expect(player.helloBlock!.bytes[12] & 1 == 1)
                player.connection.send(
                    Player.sectionHeader
                        + Player.session(
                            sensor: "s", destination: "d", runs: [Self.run],
                            helloChallenge: Array(player.helloBlock!.bytes[16..<48]), token: token))
                _ = try player.wait { $0.hasEnded }
                #expect(player.end?.code == 3 && player.proofBlock == nil && !player.haveIsComplete)
            }
        }
    }

    @Test("Who may not connect gets nothing; a flood of silent connections is bounded and does not lock others out")
    func floods() throws {
        try withTemporaryDirectory { folder in
            let closed = try RunningCollector("\(folder)/a", ["--allow", "192.0.2.0/24,2001:db8::/32"])
            let stranger = try #require(Player(port: closed.port))
            _ = try stranger.wait { $0.hasEnded }
            #expect(stranger.helloBlock == nil)
            #expect(try closed.stop()["not_allowed"] == 1)
        }
        try withCollector(counter: "busy") { port in
            let silent = (0..<100).compactMap { _ in Player(port: port) }
            let last = try #require(silent.last)
            _ = try last.wait { $0.hasEnded || $0.end != nil }
            #expect(last.end?.code == 8)
            // After five seconds those that say nothing are gone, and there is room again.
            let first = silent[0]
            _ = try first.wait { $0.hasEnded }
            #expect(try Deliveries.deliver(Deliveries.batches(Self.run, 0..<2), to: port))
        }
    }

    @Test("A peer that reads nothing does not hold up others, nor fill the memory")
    func deaf() throws {
        try withCollector(counter: "sessions", count: 2) { port in
            let batches = Deliveries.batches(Self.run, 0..<50, packets: 1, length: 4)
            let player = try #require(Player(port: port))
            #expect(try player.open(batches))
            player.connection.send(Player.preamble(Self.run))
            let bytes = batches.flatMap(\.bytes)
            for _ in 0..<200 { player.connection.send(bytes) }
            #expect(try player.waitAcknowledged(batches))
        }
    }
}
