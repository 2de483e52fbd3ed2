import SegmentPool
import Machine
import Egress
import TestSupport
import Testing

@Suite("Egress: collectors that fall silent", .serialized, .timeLimit(.minutes(2)))
struct SilenceTests {
    @Test("One that says nothing for too long is connected to anew; what it did not acknowledge arrives once")
    func silent() throws {
        var manners = CollectorManners()
        (manners.acks, manners.forgets) = (.never, true)
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.silenceTime, options.batch.packets) = (200_000_000, 5)
        let rig = try EgressRig([.to(collector)], options)
        try rig.feeder.feed(50, bytes: 300)
        rig.feeder.flush()
        try waitUntil("several connections") { collector.state.connections >= 3 }
        #expect(rig.snapshot()[.delivered] == 0 && rig.snapshot()[.inMemory] == 50)
        collector.change { $0.acks = .prompt }
        try rig.finish()
        #expect(rig.compare(collector.state.packets).isNone && collector.state.violations == [])
        #expect(rig.snapshot()[.delivered] == 50 && rig.snapshot()[.reconnects] >= 2)
    }
}
