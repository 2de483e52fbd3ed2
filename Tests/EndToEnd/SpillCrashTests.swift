import Glibc
import TestSupport
import Testing

/// Each step that is durable, and how often it is passed before the end comes.
private let crashPoints: [(String, ClosedRange<Int>)] = [
    ("cacheCreated", 1...3), ("cachePreambleWritten", 1...3), ("cacheBatchesHalfWritten", 1...20),
    ("cacheBatchesWritten", 1...20), ("cacheFooterWritten", 1...3), ("cacheRenamed", 1...3),
    ("stateTemporary", 1...2), ("stateRenamed", 1...2), ("cacheRemoved", 1...2),
]

@Suite("A relay that dies with a cache")
struct SpillCrashTests {
    /// How often each point is tried: more with `SPILLWAY_CRASH_ROUNDS`, as `tools/test crash` does.
    static var rounds: Int {
        unsafe getenv("SPILLWAY_CRASH_ROUNDS").flatMap { unsafe Int(String(cString: $0)) } ?? 2
    }

    @Test("At each durable step: what was delivered or written by then arrives once", arguments: crashPoints)
    func dies(name: String, counts: ClosedRange<Int>) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<20_000, size: 1000)))
            try writeFile("\(folder)/new", captureFile(numberedPackets(30_000..<30_010, size: 1000)))
            for _ in 0..<Self.rounds {
                try round("\(name):\(counts.randomElement()!)", folder)
            }
        }
    }

    private func round(_ point: String, _ folder: String) throws {
        let cache = "\(folder)/cache"
        removeTree(cache)
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        let common = [
            "--to", "127.0.0.1:\(collector.port),name=it,ack=required", "--spill", cache, "--spill-file-size", "4M",
        ]
        // Memory is emptied to disk all the time, and at the end all of it.
        let first = try RunningRelay(
            ["-r", "\(folder)/in", "--pace", "60Kpps", "--memory-age", "1ms", "--segment-size", "512K"] + common,
            crashAt: point
        ).finish()
        let crashed = first.command.status == .signalled(SIGKILL)
        #expect(crashed || first.command.status == .exited(0), "\(point)\n\(first.command.errorText)")
        let written = (try? packetsOnDisk(cache)) ?? []
        let delivered = collector.state.packets.map(Packet.init)
        let second = try RunningRelay(["-r", "\(folder)/new"] + common).finish()
        second.expect(exits: 0)
        try expectLedger(second, captured: 10, encoded: 10)
        let state = collector.state
        #expect(state.violations == [], "\(point)")
        let found = state.packets.map(Packet.init)
        let numbers = found.map { number(of: $0) }
        #expect(Set(numbers).count == numbers.count, "\(point): something came twice")
        let owed = Set((written + delivered).map { number(of: $0) }).union(30_000..<30_010)
        #expect(owed.subtracting(numbers).isEmpty, "\(point): \(owed.subtracting(numbers).count) are missing")
        #expect(try cacheFiles(cache).isEmpty, "\(point)")
    }
}
