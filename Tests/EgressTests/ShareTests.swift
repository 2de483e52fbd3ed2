import Egress
import Glibc
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: destinations that share the batches", .serialized, .timeLimit(.minutes(5)))
struct ShareTests {
    private var sharing: RigOptions {
        var options = RigOptions()
        (options.shares, options.batch.packets) = (true, 4)
        return options
    }

    private static let loopback = Endpoint(ipv4: UInt32(0x7f00_0001).bigEndian, port: 0)

    @Test("Each batch goes to one of those that are up; together they have everything, and a guest has it alone")
    func threeUp() throws {
        let collectors = try (0..<3).map { _ in try ReferenceCollector() }
        defer { for collector in collectors { collector.stop() } }
        let (socket, endpoint) = try Listening.open(Self.loopback, backlog: 4)
        let shares = collectors.enumerated().map { DestinationPlan.to($0.element, name: "c\($0.offset)") }
        let rig = try EgressRig(shares + [.guests(at: socket)], sharing)
        let guest = try TestReader(to: endpoint)
        try waitUntil("all to be up") {
            rig.ready.isSet && (0..<3).allSatisfy { share in rig.log.all.contains("c\(share): acknowledges") }
        }
        // The workers hear of it with the next round of control.
        usleep(100_000)
        try rig.feeder.feed(1200, bytes: 300)
        rig.feeder.flush()
        let reader = try BackgroundReader(guest)
        try rig.finish()
        let states = collectors.map(\.state)
        #expect(rig.compare(states.flatMap(\.packets)).isNone)
        #expect(rig.compare(try reader.finish()).isNone)
        for (share, state) in states.enumerated() {
            #expect(state.violations == [])
            #expect(Set(state.batches.keys.map(\.lane)) == [UInt16(share + 1)])
            // By turns: 300 batches, a third each.
            #expect(Set(state.batches.keys.map(\.number)) == Set(0..<100))
            #expect(rig.snapshot(share)[.assigned] == 400 && rig.snapshot(share)[.delivered] == 400)
        }
    }

    @Test("One that is not there gets nothing new while another is up, and after the time its share goes there, once")
    func handedOver() throws {
        let here = try ReferenceCollector()
        defer { here.stop() }
        let absent = try TestListener(isOpen: false)
        var gone = DestinationPlan.to(absent, name: "absent")
        gone.ack = .required
        var options = sharing
        options.reassignAfter = 300_000_000
        let rig = try EgressRig([.to(here, name: "here"), gone], options)
        // At first nobody is known to be up, so that both get their turns.
        try rig.feeder.feed(400, bytes: 300)
        rig.feeder.flush()
        try waitUntil("everything to be with the one that is there") { rig.snapshot(0)[.delivered] == 400 }
        try rig.feeder.feed(400, bytes: 300)
        try rig.finish()
        #expect(rig.compare(here.state.packets).isNone)
        #expect(here.state.violations == [] && here.state.duplicates == 0)
        let (one, other) = (rig.snapshot(0), rig.snapshot(1))
        #expect(one[.assigned] + other[.assigned] == 800)
        #expect(other[.assigned] <= 400, "nothing new while another is up")
        #expect(one[.takenOver] == other[.handedOver] && other[.handedOver] == other[.assigned])
        #expect(one[.delivered] == 800 && other[.delivered] == 0)
    }

    @Test("Before the time is over a share waits for its destination")
    func waits() throws {
        let probe = try ReferenceCollector()
        let port = probe.port
        probe.stop()
        let here = try ReferenceCollector()
        defer { here.stop() }
        let endpoint = Self.loopback.with(port: port)
        let late = DestinationPlan(
            name: "late", address: "\(endpoint)", outlet: .connect([endpoint]), wire: .pcapng, newestFirst: true,
            holds: true, ack: .required)
        // Nobody is up when the first batches close.
        let rig = try EgressRig([late, .to(here, name: "here")], sharing)
        try rig.feeder.feed(4, bytes: 300)
        rig.feeder.flush()
        try rig.waitUntilQuiet()
        try rig.feeder.feed(400, bytes: 300)
        rig.feeder.flush()
        try waitUntil("the share of the one that is there") {
            rig.snapshot(1)[.delivered] == rig.snapshot(1)[.assigned]
                && rig.snapshot(0)[.assigned] + rig.snapshot(1)[.assigned] == 404
        }
        let waiting = rig.snapshot(0)[.inMemory]
        let collector = try ReferenceCollector(port: port)
        defer { collector.stop() }
        try rig.finish()
        #expect(rig.compare(here.state.packets + collector.state.packets).isNone)
        #expect(rig.snapshot(0)[.handedOver] == 0 && rig.snapshot(0)[.delivered] == waiting)
    }
}
