import Glibc
import TestSupport
import Testing

/// A durable step, how often each life passes it at least, and what the collector must do for that.
struct SpillCrashPoint: Sendable, CustomTestStringConvertible {
    var name: String
    var counts: ClosedRange<Int>
    var acks = CollectorManners.Acks.never
    /// How long the life that dies waits for the collector.
    var patience = "100ms"
    var testDescription: String { name }

    static let all = [
        Self(name: "cacheCreated", counts: 1...2), Self(name: "cachePreambleWritten", counts: 1...2),
        Self(name: "cacheBatchesHalfWritten", counts: 1...4), Self(name: "cacheBatchesWritten", counts: 1...4),
        Self(name: "cacheFooterWritten", counts: 1...2), Self(name: "cacheRenamed", counts: 1...2),
        Self(name: "stateTemporary", counts: 1...2), Self(name: "stateRenamed", counts: 1...2),
        // Files go when they are delivered, which is after all is sent.
        Self(name: "cacheRemoved", counts: 1...2, acks: .late(30), patience: "20s"),
    ]
}

@Suite("A relay that dies with a cache")
struct SpillCrashTests {
    /// How often it dies at each point: `SPILLWAY_CRASH_ROUNDS=50` for the full proof.
    static var rounds: Int { environmentValue("SPILLWAY_CRASH_ROUNDS").flatMap { Int($0) } ?? 2 }

    @Test("At each durable step: what was delivered or written by then arrives once", arguments: SpillCrashPoint.all)
    func dies(_ point: SpillCrashPoint) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<2500, size: 1000)))
            try writeFile("\(folder)/new", captureFile(numberedPackets(30_000..<30_010, size: 1000)))
            for _ in 0..<Self.rounds { try round(point, point.counts.randomElement()!, folder) }
        }
    }

    private func round(_ point: SpillCrashPoint, _ count: Int, _ folder: String) throws {
        let (cache, what) = ("\(folder)/cache", "\(point.name):\(count)")
        removeTree(cache)
        var manners = CollectorManners()
        manners.acksAtFirst = point.acks
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        let common = [
            "--to", "127.0.0.1:\(collector.port),name=it,ack=required", "--spill", cache, "--spill-file-size", "1M",
            "--memory", "24M",
        ]
        // Memory is emptied to disk all the time, and at the end all of it.
        let first = try RunningRelay(
            [
                "-r", "\(folder)/in", "--memory-age", "1ms", "--segment-size", "512K", "--drain-timeout",
                point.patience,
            ] + common, crashAt: what
        ).finish()
        #expect(first.command.status == .signalled(SIGKILL), "\(what) was not reached\n\(first.command.errorText)")
        collector.change { $0.acksAtFirst = nil }
        let written = (try? packetsOnDisk(cache)) ?? []
        let delivered = collector.state.packets.map(Packet.init)
        let second = try RunningRelay(["-r", "\(folder)/new"] + common).finish()
        second.expect(exits: 0)
        try expectLedger(second, captured: 10, encoded: 10)
        let state = collector.state
        #expect(state.violations == [], "\(what)")
        let numbers = state.packets.map { number(of: Packet($0)) }
        #expect(Set(numbers).count == numbers.count, "\(what): something came twice")
        let owed = Set((written + delivered).map { number(of: $0) }).union(30_000..<30_010)
        #expect(owed.subtracting(numbers).isEmpty, "\(what): \(owed.subtracting(numbers).count) are missing")
        #expect(Set(numbers).isSubset(of: Set(0..<2500).union(30_000..<30_010)))
        #expect(try cacheFiles(cache).isEmpty, "\(what)")
    }
}
