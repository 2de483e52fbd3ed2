import Egress
import Glibc
import Machine
import Pcapng
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: delivery", .serialized, .timeLimit(.minutes(5)))
struct DeliveryTests {
    @Test("Every packet arrives once, is counted once, and the stream is what format.md says", arguments: [1, 2])
    func everythingOnce(workers: Int) throws {
        let listener = try TestListener()
        var options = RigOptions()
        (options.workers, options.isFileInput) = (workers, true)
        let begin = ContinuousClock.now
        let rig = try EgressRig([.to(listener)], options)
        let reader = try BackgroundReader(try listener.accept())
        for size in 0..<400 {
            for feeder in rig.feeders { try feeder.feed(bytes: size * 7 % 1600) }
        }
        for feeder in rig.feeders {
            feeder.flush()
            try feeder.feed(3, bytes: 262_144)
        }
        // The age of information is sampled every 10 ms: there must be such a moment.
        usleep(100_000)
        let outcomes = try rig.finish()
        let stream = try reader.finish()

        // Nothing can be older than the run; ages are right within 6 %.
        let elapsed = Double((ContinuousClock.now - begin) / .nanoseconds(1)) * 1.0625 + 20_000
        for ages in [outcomes[0].ages.information, outcomes[0].ages.live] {
            let (median, late) = (try #require(ages.p50), try #require(ages.p99))
            #expect(0 < median && median <= late && Double(late) <= elapsed)
        }
        #expect(stream.rest == 0)
        #expect(rig.compare(stream).isNone)
        for worker in 0..<workers {
            let numbers = stream.batches.filter { Int($0.worker) == worker }.map(\.number)
            #expect(Set(numbers) == Set(0..<UInt64(numbers.count)))
        }
        let counters = rig.snapshot()
        #expect(counters[.delivered] == UInt64(rig.fed.count))
        #expect(counters[.deliveredBytes] == UInt64(stream.batches.reduce(0) { $0 + $1.bytes.count }))
        #expect([counters[.connects], counters[.reconnects], counters[.resent]] == [1, 0, 0])
        // First the section, the interface and the lane; last the statistics.
        guard stream.items.count > 3, case .section(let section) = stream.items[0],
            case .interface(let interface) = stream.items[1],
            case .lane(let lane, let kind, let run, let name) = stream.items[2]
        else { throw RigProblem("the stream begins with \(stream.items.prefix(3))") }
        #expect(section[4] == Array("the tests".utf8))
        #expect(interface.name == "eth0")
        #expect((lane, kind, name) == (0, 0, ""))
        #expect(stream.batches.allSatisfy { $0.run == run && $0.lane == 0 })
        #expect(run.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == rig.run.description)
        guard case .statistics(0, _) = stream.items.last else { throw RigProblem("no statistics at the end") }
    }

    @Test("tshark and tcpdump read the stream as any capture")
    func readByOthers() throws {
        try requireTool("tshark")
        try requireTool("tcpdump")
        let listener = try TestListener()
        let rig = try EgressRig([.to(listener, newestFirst: false)])
        let reader = try BackgroundReader(try listener.accept())
        for size in 0..<100 { try rig.feeder.feed(bytes: size) }
        try rig.waitUntilQuiet()
        #expect(rig.registry.register(EgressRig.interface("eth1")) == 1)
        for size in 0..<100 { try rig.feeder.feed(bytes: size, interface: UInt32(size % 2)) }
        try rig.finish()
        let bytes = try reader.finishBytes()
        try withTemporaryDirectory { folder in
            let path = "\(folder)/stream"
            try writeFile(path, bytes)
            #expect(try tsharkPackets(path, interfacesPerSection: [2]) == rig.feeder.fed)
            #expect(try run("tcpdump", ["--count", "-r", path]).checked().outputLines == ["200 packets"])
        }
    }

    @Test("An interface that appears in the middle is described before the first batch that needs it")
    func lateInterface() throws {
        let listener = try TestListener()
        var options = RigOptions()
        options.statisticsInterval = 10_000_000
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        try rig.feeder.feed(50, bytes: 100)
        rig.feeder.flush()
        try reader.read(batches: 1)
        #expect(rig.registry.register(EgressRig.interface("late")) == 1)
        try rig.feeder.feed(50, bytes: 100, interface: 1)
        rig.feeder.flush()
        // The parser refuses a record whose interface is not there yet.
        try reader.read(batches: 2)
        // Statistics come on an idle connection, too.
        try waitUntil("statistics of both interfaces") {
            reader.read(milliseconds: 10)
            return Set(try reader.stream().statistics) == [0, 1]
        }
        rig.endInput()
        try reader.readToEnd()
        try rig.finish()
        let stream = try reader.stream()
        #expect(stream.interfaces.map(\.name) == ["eth0", "late"])
        #expect(rig.compare(stream).isNone)
        #expect(stream.rest == 0)
        #expect(Array(stream.statistics.suffix(2)) == [0, 1])
        guard case .statistics(1, _) = stream.items.last else { throw RigProblem("no statistics at the end") }
    }

    @Test("Before the first interface is known nothing is sent; a run without packets is an empty section")
    func noInterface() throws {
        let listener = try TestListener()
        var options = RigOptions()
        options.registersInterface = false
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        try rig.waitUntilQuiet()
        reader.read()
        #expect(reader.bytes.isEmpty)
        rig.endInput()
        try reader.readToEnd()
        try rig.finish()
        let stream = try reader.stream()
        #expect(stream.items.count == 2)
        #expect(stream.rest == 0)
    }

    @Test("Counting and discarding delivers everything at once, bytes included")
    func null() throws {
        let listener = try TestListener()
        let null = DestinationPlan(
            name: "null", address: "null", outlet: .null, wire: .pcapng, newestFirst: true, holds: false)
        let rig = try EgressRig([null, .to(listener)])
        let reader = try BackgroundReader(try listener.accept())
        try rig.feeder.feed(3000, bytes: 700)
        try rig.finish()
        #expect(rig.compare(try reader.finish()).isNone)
        #expect(rig.snapshot(0)[.delivered] == 3000)
        #expect(rig.snapshot(0)[.deliveredBytes] == rig.snapshot(1)[.deliveredBytes])
    }

    @Test("Without a destination that wants anything, segments come back by themselves")
    func onlyNull() throws {
        let null = DestinationPlan(
            name: "null", address: "null", outlet: .null, wire: .pcapng, newestFirst: true, holds: false)
        var options = RigOptions()
        (options.segments, options.isFileInput) = (4, true)
        let rig = try EgressRig([null], options)
        try rig.feeder.feed(100, bytes: 100_000)
        try rig.finish()
        #expect(rig.snapshot()[.delivered] == 100)
        #expect(rig.snapshot().sum("dropped", scope: .destination) == 0)
    }
}
