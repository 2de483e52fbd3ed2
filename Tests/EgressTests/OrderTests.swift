import Egress
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: order", .serialized, .timeLimit(.minutes(5)))
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
        // What was in flight may still be acknowledged meanwhile; the reader itself takes nothing.
        #expect(rig.snapshot()[.delivered] < 1000, "the reader was to stay stalled")
        let background = try BackgroundReader(reader)
        try rig.finish()
        let stream = try background.finish()
        #expect(rig.compare(stream).isNone)
        #expect(rig.snapshot()[.delivered] == 1600)
        return (stream, 1200)
    }

    /// Splits a stream into what was in flight while the reader stalled and what came, newest first, after it.
    private func split(_ stream: ParsedStream) -> (inFlight: ArraySlice<ParsedBatch>, after: ArraySlice<ParsedBatch>) {
        let batches = stream.batches
        var place = batches.count - 1
        while place > 0, batches[place - 1].lastArrival > batches[place].lastArrival { place -= 1 }
        return (batches[..<place], batches[place...])
    }

    @Test(
        "After a stall the first batch beyond what was in flight is the newest, then newest first", arguments: [1, 7])
    func stalledReader(batchPackets: UInt32) throws {
        let (stream, fedBefore) = try stalledStream(batchPackets: batchPackets, newestFirst: true)
        let (inFlight, after) = split(stream)
        // What can be in flight: two socket buffers and a batch, of 1.6 MB that were fed.
        #expect(inFlight.reduce(0) { $0 + $1.bytes.count } < 300_000)
        // From there on strictly descending, so it began with the newest there was: one from after the stall.
        let firstLate = (UInt64(fedBefore) + UInt64(batchPackets) - 1) / UInt64(batchPackets)
        #expect(try #require(after.first).number >= firstLate)
    }

    @Test("Two workers: newest first by last arrival over both")
    func twoWorkers() throws {
        let (inFlight, after) = split(try stalledStream(batchPackets: 1, newestFirst: true, workers: 2).0)
        #expect(inFlight.reduce(0) { $0 + $1.bytes.count } < 300_000)
        #expect(Set(after.map(\.worker)) == [0, 1])
    }

    @Test("Many batches that were chosen at once, and did not fit the socket, do not go before newer ones")
    func backlog() throws {
        let listener = try TestListener(receiveBuffer: 4096, isOpen: false)
        var options = RigOptions()
        (options.segments, options.batch.packets) = (24, 1)
        let rig = try EgressRig([.to(listener)], options)
        try rig.feeder.feed(400, bytes: 8000)
        try rig.waitUntilAssigned()
        listener.open()
        let reader = try listener.accept()
        try waitUntil("the connection") { rig.snapshot()[.connects] == 1 }
        try rig.waitUntilQuiet()
        try rig.feeder.feed(200, bytes: 8000)
        try rig.waitUntilAssigned()
        let rest = try BackgroundReader(reader)
        try rig.finish()
        let stream = try rest.finish()
        #expect(rig.compare(stream).isNone)
        let (inFlight, after) = split(stream)
        // A write is offered a quarter of a megabyte; the kernel takes a part, and only that may be old.
        #expect(inFlight.reduce(0) { $0 + $1.bytes.count } < 150_000)
        #expect(try #require(after.first).number >= 400)
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
