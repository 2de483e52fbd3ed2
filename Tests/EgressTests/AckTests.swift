import Egress
import Glibc
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: acknowledged delivery", .serialized, .timeLimit(.minutes(5)))
struct AckTests {
    /// Holds what a collector has against what was fed, and its own rules against what it saw.
    private func check(_ rig: EgressRig, _ collector: ReferenceCollector) {
        let state = collector.state
        #expect(rig.compare(state.packets).isNone)
        #expect(state.violations == [])
        #expect(rig.snapshot()[.delivered] == UInt64(rig.fed.count))
    }

    @Test("Greeting, inventory, batches, acknowledgements, end: every policy that allows it", arguments: [true, false])
    func wholeSession(required: Bool) throws {
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        let rig = try EgressRig([.to(collector, ack: required ? .required : .auto)])
        try rig.feeder.feed(2000, bytes: 700)
        rig.feeder.flush()
        try rig.waitUntilAssigned()
        try waitUntil("acknowledgements") { rig.snapshot()[.delivered] == 2000 }
        #expect(rig.snapshot()[.inMemory] == 0)
        try rig.finish()
        check(rig, collector)
        let state = collector.state
        try waitUntil("the end") { collector.state.ends == 1 }
        #expect([state.connections, state.duplicates] == [1, 0])
        #expect(rig.snapshot()[.protocolErrors] == 0)
        guard case .session(_, _, let digest, let proof, let sensor, let destination) = state.controls.first else {
            Issue.record("the first control block is no session")
            return
        }
        #expect(digest == referenceSHA256(state.order[0].run))
        #expect(proof == [UInt8](repeating: 0, count: 32))
        #expect([sensor, destination] == ["rig", "to"])
    }

    @Test("A plain reader gets a plain stream after the time to greet, and one that talks at once")
    func plainReaders() throws {
        for talks in [false, true] {
            let listener = try TestListener()
            var options = RigOptions()
            // One that says something else need not be waited for at all.
            options.greetingTime = talks ? 3_600_000_000_000 : 50_000_000
            var plan = DestinationPlan.to(listener)
            plan.ack = .auto
            let rig = try EgressRig([plan], options)
            try rig.feeder.feed(300, bytes: 900)
            let reader = try listener.accept()
            if talks { _ = unsafe write(reader.descriptor, "\nhello", 6) }
            let background = try BackgroundReader(reader)
            try rig.finish()
            let stream = try background.finish()
            #expect(rig.compare(stream).isNone)
            #expect(stream.controls == [])
            #expect(rig.snapshot()[.protocolErrors] == 0)
        }
    }

    @Test("Without a greeting a destination that must acknowledge gets nothing at all")
    func required() throws {
        var manners = CollectorManners()
        manners.helloDelay = nil
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.proofTime, options.drainTimeout) = (100_000_000, 1_000_000_000)
        let rig = try EgressRig([.to(collector)], options)
        try rig.feeder.feed(10, bytes: 900)
        try waitUntil("several attempts") { collector.state.connections >= 3 }
        try rig.finish()
        #expect(collector.state.packets.isEmpty && collector.state.controls.isEmpty)
        #expect(rig.snapshot()[.droppedDrain] == 10)
        #expect(rig.log.all.contains { $0.contains("no greeting in time") })
    }

    @Test("Who has greeted once is never sent a plain stream again")
    func remembered() throws {
        var manners = CollectorManners()
        manners.cutsReading = { $0 == 0 ? 40 : nil }
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.greetingTime, options.proofTime) = (20_000_000, 200_000_000)
        let rig = try EgressRig([.to(collector, ack: .auto)], options)
        try waitUntil("the cut") { collector.state.connections >= 1 && rig.snapshot()[.connects] >= 1 }
        collector.change { $0.helloDelay = 100 }
        try rig.feeder.feed(100, bytes: 900)
        try rig.finish()
        check(rig, collector)
        #expect(rig.snapshot()[.droppedLateHello] == 0)
    }

    @Test(
        "Acknowledged out of order, twice, late: all is delivered once and nothing is sent twice",
        arguments: [CollectorManners.Acks.shuffled(16), .repeated, .late(30)])
    func manners(acks: CollectorManners.Acks) throws {
        var manners = CollectorManners()
        manners.acks = acks
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.batch.packets, options.ackWindow) = (5, 200_000)
        let rig = try EgressRig([.to(collector)], options)
        for _ in 0..<20 {
            try rig.feeder.feed(100, bytes: 900)
            rig.feeder.flush()
        }
        try rig.finish()
        check(rig, collector)
        #expect([collector.state.connections, collector.state.duplicates] == [1, 0])
        #expect(rig.snapshot()[.resent] == 0)
    }

    @Test("Never acknowledged: the window bounds what is sent, nothing counts as delivered, all of it is accounted for")
    func never() throws {
        var manners = CollectorManners()
        manners.acks = .never
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.batch.packets, options.ackWindow, options.drainTimeout) = (1, 50_000, 500_000_000)
        let rig = try EgressRig([.to(collector)], options)
        try rig.feeder.feed(1000, bytes: 900)
        rig.feeder.flush()
        try rig.waitUntilAssigned()
        try rig.waitUntilQuiet()
        let bytes = collector.state.batches.values.reduce(0) { $0 + $1.bytes.count }
        // One batch has 932 + 96 bytes.
        #expect(bytes >= 48_000 && bytes <= 50_000 + 1100)
        #expect(rig.snapshot()[.delivered] == 0)
        #expect(rig.snapshot()[.inMemory] == 1000)
        // What is in flight is not chosen again while the connection lives.
        #expect(collector.state.duplicates == 0)
        try rig.finish()
        #expect(rig.snapshot()[.droppedDrain] == 1000)
        #expect(collector.state.ends == 0)
    }

    @Test("After a break what was not acknowledged is owed again; what the collector has is not sent again")
    func have() throws {
        var manners = CollectorManners()
        manners.acksAtFirst = .never
        manners.cutsReading = { $0 == 0 ? 60_000 : nil }
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        options.batch.packets = 2
        let rig = try EgressRig([.to(collector)], options)
        try rig.feeder.feed(200, bytes: 900)
        rig.feeder.flush()
        try rig.finish()
        check(rig, collector)
        #expect(collector.state.connections == 2)
        #expect(collector.state.duplicates == 0)
        #expect(rig.snapshot()[.resent] > 0)
    }

    @Test("A HELLO that comes late closes the connection, and what memory still has is sent again")
    func lateHello() throws {
        var manners = CollectorManners()
        manners.helloDelay = 400
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.greetingTime, options.batch.packets) = (30_000_000, 3)
        let rig = try EgressRig([.to(collector, ack: .auto)], options)
        // All of it is in the segment that is still being filled.
        try rig.feeder.feed(90, bytes: 500)
        rig.feeder.flush()
        try waitUntil("a plain delivery") { rig.snapshot()[.delivered] == 90 }
        collector.change { $0.helloDelay = 0 }
        try waitUntil("the late greeting") { rig.log.all.contains { $0.contains("greets late") } }
        try rig.feeder.feed(60, bytes: 500)
        try rig.finish()
        #expect(rig.compare(collector.state.packets).isNone)
        #expect(collector.state.violations == ["connection 0: a record before the last HAVE"])
        #expect(rig.snapshot()[.droppedLateHello] == 0 && rig.snapshot()[.resent] == 90)
        #expect(rig.snapshot()[.delivered] == 150)
    }

    @Test(
        "A collector where none was meant to be: nothing counts as delivered to it, and the reason is said",
        arguments: [Wire.pcapng, .classic(nanoseconds: false)])
    func unwantedCollector(_ wire: Wire) throws {
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        var options = RigOptions()
        options.drainTimeout = 1_000_000_000
        let rig = try EgressRig([.to(collector, ack: .none, wire: wire)], options)
        try rig.feeder.feed(90, bytes: 500)
        rig.feeder.flush()
        try waitUntil("the reason") { rig.log.all.contains { $0.contains("takes nothing unacknowledged") } }
        try rig.finish()
        #expect(rig.snapshot()[.delivered] == 0)
        #expect(rig.snapshot()[.droppedDrain] == 90)
    }

    @Test("A HELLO that comes late: what memory has let go of is counted, to the packet")
    func lateHelloWithoutCopy() throws {
        var manners = CollectorManners()
        manners.helloDelay = 800
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.greetingTime, options.batch.packets) = (30_000_000, 3)
        let rig = try EgressRig([.to(collector, ack: .auto)], options)
        // A segment that was left and delivered is free again; the one behind it is still being filled.
        try rig.feeder.feed(20, bytes: 900)
        rig.feeder.seal()
        try waitUntil("a plain delivery") { rig.snapshot()[.delivered] == 20 }
        try rig.feeder.feed(30, bytes: 900)
        rig.feeder.flush()
        try waitUntil("a plain delivery") { rig.snapshot()[.delivered] == 50 }
        collector.change { $0.helloDelay = 0 }
        try waitUntil("the late greeting") { rig.log.all.contains { $0.contains("greets late") } }
        try rig.finish()
        #expect(rig.snapshot()[.droppedLateHello] == 20 && rig.snapshot()[.resent] == 30)
        #expect(PacketDifference(collector.state.packets, expected: Array(rig.fed.suffix(30))).isNone)
        #expect(rig.snapshot()[.delivered] == 30)
        #expect(collector.state.violations == ["connection 0: a record before the last HAVE"])
    }
}
