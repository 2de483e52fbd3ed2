import Egress
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: order", .serialized, .timeLimit(.minutes(2)))
struct OrderTests {
    /// Feeds a reader that does not read until nothing moves any more, and then more; lets it read everything.
    ///
    /// - Returns: what it got, and how many packets had been fed when it stalled.
    private func stalledStream(
        batchPackets: UInt32, newestFirst: Bool, workers: Int = 1
    ) throws -> (ParsedStream, fedBefore: Int) {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        (options.segments, options.workers, options.batch.packets) = (24, workers, batchPackets)
        let rig = try EgressRig([.to(listener, newestFirst: newestFirst)], options)
        let reader = try listener.accept()
        func feed(_ count: Int) throws {
            for number in 0..<count { try rig.feeders[number % workers].feed(bytes: 1000) }
            for feeder in rig.feeders { feeder.flush() }
            try rig.waitUntilAssigned()
            try rig.waitUntilQuiet()
        }
        try feed(1200)
        let before = rig.snapshot()
        #expect(before[.delivered] < 1000, "the reader was to stall")
        try feed(400)
        #expect(rig.snapshot()[.delivered] == before[.delivered], "the reader was to stay stalled")
        let background = try BackgroundReader(reader)
        try rig.finish()
        let stream = try background.finish()
        #expect(rig.compare(stream).isNone)
        #expect(rig.snapshot()[.delivered] == 1600)
        return (stream, 1200)
    }

    @Test(
        "After a stall the first batch beyond what was in flight is the newest, then newest first", arguments: [1, 7])
    func stalledReader(batchPackets: UInt32) throws {
        let (stream, fedBefore) = try stalledStream(batchPackets: batchPackets, newestFirst: true)
        let numbers = stream.batches.map(\.number)
        let firstLate = (UInt64(fedBefore) + UInt64(batchPackets) - 1) / UInt64(batchPackets)
        let newest = try #require(numbers.max())
        let place = try #require(numbers.firstIndex(of: newest))
        // In flight was only what had been fed before the stall.
        #expect(numbers[..<place].allSatisfy { $0 < firstLate })
        #expect(numbers[place...].elementsEqual(numbers[place...].sorted(by: >)))
        #expect(numbers[place...].count > 400 / Int(batchPackets))
    }

    @Test("Two workers: newest first by last arrival over both")
    func twoWorkers() throws {
        let (stream, _) = try stalledStream(batchPackets: 1, newestFirst: true, workers: 2)
        let arrivals = stream.batches.map(\.lastArrival)
        let place = try #require(arrivals.firstIndex(of: arrivals.max()!))
        #expect(arrivals[place...].elementsEqual(arrivals[place...].sorted(by: >)))
        #expect(arrivals[place...].count > 400)
        #expect(Set(stream.batches[place...].map(\.worker)) == [0, 1])
    }

    @Test("Oldest first: everything in its order, stall or not", arguments: [1, 2])
    func oldestFirst(workers: Int) throws {
        let (stream, _) = try stalledStream(batchPackets: 1, newestFirst: false, workers: workers)
        let arrivals = stream.batches.map(\.lastArrival)
        // Batches of two workers that are taken in one after the other may have been sent before the older was there.
        if workers == 1 {
            #expect(arrivals == arrivals.sorted())
        } else {
            #expect(Array(arrivals.suffix(400)) == arrivals.suffix(400).sorted())
        }
    }

    @Test("Packets inside a batch keep their order")
    func insideBatches() throws {
        let (stream, _) = try stalledStream(batchPackets: 7, newestFirst: true)
        for batch in stream.batches { #expect(batch.packets.map(\.time) == batch.packets.map(\.time).sorted()) }
    }
}
