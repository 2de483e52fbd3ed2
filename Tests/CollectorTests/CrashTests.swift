import Glibc
import Machine
import TestSupport
import Testing

@Suite("A collector that dies", .serialized)
struct CrashTests {
    /// Points that a collector passes. The footer and its renaming belong to the relay's cache, others to its tools
    /// and to receivers of files.
    static let points = CrashPoint.allCases.filter { point in
        ![.cacheFooterWritten, .cacheRenamed, .cacheRemoved].contains(point)
            && !["repair", "export", "receive"].contains { point.name.hasPrefix($0) }
    }

    @Test("At each durable step, fifty times: every packet is in a file once", arguments: points)
    func crashPoints(point: CrashPoint) throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let out = "\(folder)/out"
            let run = SampleRun(seed: Int(point.rawValue) + 100, interfaces: 2)
            let isDurable = point == .cacheSynced
            let options = ["--rotate-size", "4K"] + (isDurable ? ["--ack", "durable"] : [])
            var batches: [SampleBatch] = []
            var (deaths, launches) = (0, 0)
            // Each takes a minute or two for all points; where not everything is required a few deaths must do.
            let wanted = everythingIsRequired ? 50 : 6
            while deaths < wanted {
                launches += 1
                guard launches < 8 * wanted else { throw ProtocolProblem("\(deaths) deaths in \(launches) lives") }
                let first = UInt64(batches.count)
                batches += Deliveries.batches(run, first..<first + 4, packets: 3, minutes: 2, length: 300)
                // Different counts reach the step in recovery, in delivery and while files are made.
                let collector = try RunningCollector(out, options, crashAt: "\(point.name):\(1 + launches % 3)")
                let isDelivered = try Deliveries.deliver(batches, to: collector.port, ends: false)
                // Every other life that got so far is ended without notice, so that it leaves a journal behind.
                if isDelivered, launches % 2 == 0, collector.child.isRunning() {
                    collector.child.send(signal: SIGKILL)
                    _ = try collector.child.wait()
                    continue
                }
                collector.child.send(signal: SIGTERM)
                let result = try collector.child.wait()
                if result.status == .signalled(SIGKILL) {
                    deaths += 1
                } else {
                    #expect(result.status == .exited(0), "\(result.errorText)")
                }
            }
            let last = try RunningCollector(out, options)
            #expect(try Deliveries.deliver(batches, to: last.port))
            let report = try last.stop()
            #expect(report["journal_damage"] == 0 && report["corrupt"] == 0)
            #expect(difference(try CollectedFile.all(in: out), batches) == nil, "after \(launches) lives")
            // Nothing but the state is left of all these lives.
            let left = try directoryEntries("\(out)/.spillway")
            #expect(left == ["journal", "lock", "s.copy", "s.state"])
            #expect(try directoryEntries("\(out)/.spillway/journal").isEmpty)
        }
    }

    @Test(
        "Killed at random, on another port each time, several sensors at once", arguments: [["received"], ["durable"]])
    func randomKills(ack: [String]) throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let out = "\(folder)/out"
            let runs = (0..<3).map { SampleRun(seed: 200 + $0, interfaces: 1 + $0) }
            var batches: [[SampleBatch]] = runs.map { _ in [] }
            var generator = SystemRandomNumberGenerator()
            for life in 0..<(everythingIsRequired ? 25 : 8) {
                let collector = try RunningCollector(out, ["--rotate-size", "16K", "--ack"] + ack)
                let deadline = useconds_t.random(in: 0..<20_000, using: &generator)
                for (place, run) in runs.enumerated() {
                    let first = UInt64(batches[place].count)
                    batches[place] += Deliveries.batches(run, first..<first + 10, packets: 4, minutes: 2, length: 200)
                }
                // All is sent without waiting for an answer, and the end comes in the middle of it.
                let players = try runs.enumerated().compactMap { place, run -> Player? in
                    guard let player = Player(port: collector.port, sensor: "s\(place)"),
                        try player.open(batches[place])
                    else { return nil }
                    let missing = batches[place].filter { !player.had.contains($0.identity) }.shuffled()
                    player.connection.send(Player.preamble(run) + missing.flatMap(\.bytes))
                    return player
                }
                usleep(deadline)
                if life % 5 == 4 { collector.child.send(signal: SIGTERM) }
                try collector.kill()
                _ = players
            }
            let last = try RunningCollector(out)
            for (place, own) in batches.enumerated() {
                #expect(try Deliveries.deliver(own, to: last.port, sensor: "s\(place)"))
            }
            _ = try last.stop()
            let files = try CollectedFile.all(in: out)
            for (place, own) in batches.enumerated() {
                #expect(difference(files.filter { $0.name.hasPrefix("s\(place)-") }, own) == nil, "sensor s\(place)")
            }
        }
    }

    @Test("What was acknowledged is there after a kill, though it never comes again")
    func acknowledgedStays() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let run = SampleRun(seed: 300)
            var batches: [SampleBatch] = []
            for life in 0..<10 as Range<UInt64> {
                let collector = try RunningCollector("\(folder)/out")
                let own = Deliveries.batches(run, life * 5..<life * 5 + 5)
                #expect(try Deliveries.deliver(own, to: collector.port, ends: false))
                try collector.kill()
                batches += own
            }
            _ = try RunningCollector("\(folder)/out").stop()
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil)
        }
    }
}
