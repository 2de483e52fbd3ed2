import Egress
import Glibc
import Machine
import SegmentPool
import Synchronization
import TestSupport
import Testing

@Suite("Egress: acknowledged connections that break anywhere", .serialized, .timeLimit(.minutes(5)))
struct AckCutTests {
    private var quick: RigOptions {
        var options = RigOptions()
        (options.retryLongest, options.batch.packets) = (1_000_000, 1)
        return options
    }

    /// Feeds a packet whenever the present connection has nothing to carry any more, until there were so many.
    private func feed(_ rig: EgressRig, until connections: Int, _ collector: ReferenceCollector) throws {
        var (seen, still) = (0, 0)
        try waitUntil("\(connections) connections", seconds: 120) {
            let now = collector.state.connections
            still = now == seen ? still + 1 : 0
            seen = now
            if still >= 10, rig.snapshot()[.inMemory] == 0 {
                try rig.feeder.feed(1, bytes: 20)
                rig.feeder.flush()
                try rig.waitUntilAssigned()
                still = 0
            }
            return now >= connections
        }
    }

    @Test("Cut after every byte the relay sends, one connection each: every batch arrives once")
    func everyByteOfTheRelay() throws {
        var manners = CollectorManners()
        manners.forgets = true
        manners.cutsReading = { $0 < 700 ? $0 + 1 : nil }
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        let rig = try EgressRig([.to(collector)], quick)
        try feed(rig, until: 701, collector)
        try rig.finish(seconds: 60)
        let state = collector.state
        #expect(state.violations == [])
        #expect(rig.compare(state.packets).isNone)
        #expect(rig.snapshot()[.delivered] == UInt64(rig.fed.count))
    }

    @Test("Cut after every byte the collector sends: nothing is lost, and nothing counts as delivered that is not")
    func everyByteOfTheCollector() throws {
        var manners = CollectorManners()
        manners.forgets = true
        manners.cutsWriting = { $0 < 280 ? $0 + 1 : nil }
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        let rig = try EgressRig([.to(collector)], quick)
        try feed(rig, until: 281, collector)
        try rig.finish(seconds: 60)
        let state = collector.state
        #expect(state.violations == [])
        // What was acknowledged in part of a block only is not forgotten by the collector, and not delivered for the relay.
        #expect(rig.compare(state.packets).isNone)
        #expect(rig.snapshot()[.delivered] == UInt64(rig.fed.count))
    }

    @Test("Random cuts of both directions in a long transfer under pressure: what is not dropped by name arrives once")
    func random() throws {
        for seed in [1, 2, 3] as [UInt64] {
            var manners = CollectorManners()
            manners.acks = seed == 1 ? .prompt : .shuffled(7)
            manners.forgets = seed != 2
            manners.cutsReading = { $0 < 60 && $0 % 2 == 0 ? Int(noise(seed, $0) % 150_000) + 1 : nil }
            manners.cutsWriting = { $0 < 60 && $0 % 2 == 1 ? Int(noise(seed, $0) % 3000) + 1 : nil }
            let collector = try ReferenceCollector(manners)
            defer { collector.stop() }
            var options = quick
            (options.segments, options.batch.packets) = (6, 3)
            let rig = try EgressRig([.to(collector)], options)
            for _ in 0..<30 {
                try rig.feeder.feed(150, bytes: 800)
                rig.feeder.flush()
                usleep(10_000)
            }
            try rig.finish(seconds: 60)
            let state = collector.state
            #expect(state.violations == [])
            let difference = rig.compare(state.packets)
            #expect(difference.repeated + difference.foreign == 0)
            let counters = rig.snapshot()
            #expect(counters[.delivered] + counters[.droppedEvicted] == UInt64(rig.fed.count))
            // The collector may have what the relay could not know to be there, but never less than it was told.
            #expect(UInt64(difference.missing.count) <= counters[.droppedEvicted])
            let acknowledged = Set(state.acknowledged)
            #expect(
                state.batches.keys.allSatisfy { state.batches[$0] != nil }
                    && acknowledged.isSubset(of: state.batches.keys))
        }
    }

    @Test("What is evicted while the connection lives is told, and an inventory does not list it")
    func gone() throws {
        var manners = CollectorManners()
        manners.acksAtFirst = .never
        manners.cutsReading = { $0 == 0 ? 3_000_000 : nil }
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = quick
        (options.segments, options.ackWindow) = (4, 100_000)
        let rig = try EgressRig([.to(collector)], options)
        // Far more than the pool while the window is shut.
        try rig.feeder.feed(4000, bytes: 1400)
        rig.feeder.flush()
        try rig.waitUntilAssigned()
        try waitUntil("evictions") { rig.snapshot()[.droppedEvicted] > 1500 }
        try rig.waitUntilQuiet()
        let first = collector.state
        try waitUntil("word of it") {
            collector.state.controls.contains {
                if case .ranges(let ranges) = $0 {
                    ranges.kind == .gone && ranges.reason == 2 && !ranges.ranges.isEmpty
                } else {
                    false
                }
            }
        }
        for case .ranges(let gone) in collector.state.controls where gone.kind == .gone {
            for number in gone.ranges.joined() {
                #expect(!first.batches.keys.contains { $0.number == number }, "a batch that was sent is not gone")
            }
        }
        rig.stop()
    }
}

/// A number that depends on both and looks like chance (splitmix64).
private func noise(_ seed: UInt64, _ place: Int) -> UInt64 {
    var z = (seed &<< 32) &+ UInt64(place) &* 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
}
