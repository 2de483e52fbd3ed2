import Egress
import Glibc
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: pressure", .serialized, .timeLimit(.minutes(5)))
struct PressureTests {
    @Test("Two readers of which one never reads: the other gets everything, the lost are counted exactly")
    func oneStalls() throws {
        let (slow, quick) = (try TestListener(receiveBuffer: 8192), try TestListener())
        var options = RigOptions()
        (options.segments, options.batch.packets) = (6, 3)
        let rig = try EgressRig([.to(slow, name: "slow"), .to(quick, name: "quick")], options)
        let slowReader = try slow.accept()
        let quickReader = try BackgroundReader(try quick.accept())
        for _ in 0..<25 {
            try rig.feeder.feed(200, bytes: 1000)
            rig.feeder.flush()
            try rig.waitUntilAssigned(1)
            try waitUntil("the quick one") { rig.snapshot(1)[.delivered] == UInt64(rig.feeder.fed.count) }
        }
        #expect(rig.snapshot(0)[.delivered] < 1000, "the slow one was to stall")
        #expect(rig.snapshot(0)[.droppedEvicted] > 0)
        let slowRest = try BackgroundReader(slowReader)
        try rig.finish()
        #expect(rig.compare(try quickReader.finish()).isNone)
        #expect(rig.snapshot(1)[.droppedEvicted] == 0)
        let got = try slowRest.finish().packets
        let difference = rig.compare(got)
        #expect(difference.repeated + difference.foreign == 0)
        #expect(rig.snapshot(0)[.droppedEvicted] == UInt64(difference.missing.count))
        #expect(rig.snapshot(0)[.delivered] == UInt64(got.count))
        // The newest are what memory keeps: three segments are in the worker's hand, the others hold the newest.
        #expect(rig.fed.count - rig.fed.lastIndex(of: try #require(difference.missing.last))! > 400)
    }

    @Test("A batch that is half in the socket survives the loss of its segment, however often that is used again")
    func halfWritten() throws {
        let listener = try TestListener(receiveBuffer: 4096)
        var options = RigOptions()
        options.segments = 4
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        try rig.feeder.feed(1, bytes: 250_000)
        rig.feeder.flush()
        try rig.waitUntilAssigned()
        for _ in 0..<10 {
            // More than the whole pool, so that every segment is emptied and filled again.
            try rig.feeder.feed(700, bytes: 4000)
            rig.feeder.flush()
            try rig.waitUntilAssigned()
            for _ in 0..<4 { reader.read(atMost: 3000, milliseconds: 5) }
        }
        let rest = try BackgroundReader(reader)
        try rig.finish()
        // The parser holds every batch against its checksum.
        let stream = try rest.finish()
        #expect(stream.batches.first?.number == 0)
        let difference = rig.compare(stream)
        #expect(difference.missing.count > 3000)
        #expect(difference.repeated + difference.foreign == 0)
        #expect(rig.snapshot()[.droppedEvicted] == UInt64(difference.missing.count))
        #expect(stream.rest == 0)
    }

    @Test("Losing the newest: a full pool refuses packets, and nothing that is in it is lost")
    func dropNewest() throws {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        (options.segments, options.dropOldest) = (4, false)
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        var refused = 0
        while refused < 100 {
            if !rig.feeder.tryFeed(4000) {
                refused += 1
                usleep(1000)
            }
        }
        // With a segment being filled and none behind it, three of the four are full.
        #expect(rig.feeder.fed.count > 300)
        let rest = try BackgroundReader(reader)
        try rig.finish()
        #expect(rig.compare(try rest.finish()).isNone)
        #expect(rig.snapshot().sum("dropped", scope: .destination) == 0)
    }

    @Test("Files as input: the reader waits for a slow destination, and nothing is lost")
    func fileInputWaits() throws {
        let (slow, quick) = (try TestListener(receiveBuffer: 8192), try TestListener())
        var options = RigOptions()
        (options.segments, options.isFileInput) = (4, true)
        let rig = try EgressRig([.to(slow, name: "slow"), .to(quick, name: "quick")], options)
        let slowReader = try slow.accept()
        let quickReader = try BackgroundReader(try quick.accept())
        while rig.feeder.tryFeed(4000) || rig.feeder.fed.count < 300 {}
        try rig.waitUntilQuiet()
        #expect(rig.snapshot(0).sum("dropped", scope: .destination) == 0)
        let slowRest = try BackgroundReader(slowReader)
        try rig.feeder.feed(1000, bytes: 4000)
        try rig.finish()
        for (reader, plan) in [(slowRest, 0), (quickReader, 1)] {
            #expect(rig.compare(try reader.finish()).isNone)
            #expect(rig.snapshot(plan).sum("dropped", scope: .destination) == 0)
        }
        #expect(!rig.stopReading.isSet)
    }

    @Test("Files as input: what is owed only to a destination without progress leaves when another waits")
    func unreachable() throws {
        let (dead, quick) = (try TestListener(receiveBuffer: 8192), try TestListener())
        var options = RigOptions()
        (options.segments, options.isFileInput, options.drainTimeout) = (4, true, 2_000_000_000)
        let rig = try EgressRig([.to(dead, name: "dead"), .to(quick, name: "quick")], options)
        let deadReader = try dead.accept()
        let quickReader = try BackgroundReader(try quick.accept())
        try rig.feeder.feed(2000, bytes: 4000)
        try rig.finish()
        #expect(rig.compare(try quickReader.finish()).isNone)
        #expect(rig.snapshot(1).sum("dropped", scope: .destination) == 0)
        let counters = rig.snapshot(0)
        #expect(counters[.droppedUnreachable] + counters[.droppedEvicted] + counters[.delivered] == 2000)
        #expect(counters[.droppedUnreachable] > 1000)
        #expect(!rig.stopReading.isSet)
        // What counts as delivered is with the reader: in its buffer at least.
        try deadReader.readToEnd()
        #expect(UInt64(try deadReader.stream().packets.count) >= counters[.delivered])
    }
}
