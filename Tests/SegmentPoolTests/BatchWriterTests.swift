import Machine
import Pcapng
import SegmentPool
import TestSupport
import Testing

/// Where batches begin and end, worked out from docs/format.md with arrays.
struct WriterModel {
    let segmentBytes: Int
    let limits: BatchLimits
    /// The packets of each closed batch, by their place in all packets.
    private(set) var batches: [[Int]] = []
    /// For each closed batch the segment it is in, counted in segments taken.
    private(set) var segmentOfBatch: [Int] = []
    /// Segments taken, and how many of them were left.
    private(set) var segmentsTaken = 0
    private(set) var segmentsLeft = 0
    private var count = 0
    private(set) var open: [Int] = []
    private var openBytes = 0
    private var usedBytes = 0
    private var batchesInSegment = 0

    private var hasSegment: Bool { segmentsTaken > segmentsLeft }

    init(segmentBytes: Int, limits: BatchLimits) {
        (self.segmentBytes, self.limits) = (segmentBytes, limits)
    }

    /// A packet comes; false if it needs a segment and none is `available`.
    mutating func append(_ captured: Int, available: inout Int) -> Bool {
        let record = 32 + (captured + 3) / 4 * 4
        func fitsSegment() -> Bool {
            usedBytes + openBytes + record + 96 + 4 * (batchesInSegment + 1) <= segmentBytes
        }
        if !open.isEmpty, openBytes + record + 96 > limits.bytes || !fitsSegment() { flush() }
        if hasSegment, !fitsSegment() { segmentsLeft += 1 }
        if !hasSegment {
            guard available > 0 else { return false }
            available -= 1
            segmentsTaken += 1
            (usedBytes, batchesInSegment) = (0, 0)
        }
        open.append(count)
        openBytes += record
        count += 1
        if open.count == Int(limits.packets) { flush() }
        return true
    }

    mutating func flush() {
        guard !open.isEmpty else { return }
        batches.append(open)
        segmentOfBatch.append(segmentsTaken - 1)
        usedBytes += openBytes + 96
        batchesInSegment += 1
        (open, openBytes) = ([], 0)
    }

    mutating func seal() {
        flush()
        if hasSegment { segmentsLeft += 1 }
    }
}

@Suite("Batch writer", .timeLimit(.minutes(5)))
struct BatchWriterTests {
    /// What a test does to a writer.
    private enum Step { case packet(Int), flush, seal }

    /// Runs the steps, with a reader that takes everything at once, and compares all batches with the model's.
    private func check(_ limits: BatchLimits, segmentBytes: Int = 512 << 10, _ steps: [Step]) throws {
        let rig = try PoolRig(segmentBytes: segmentBytes, segments: 5, slots: 1, limits: limits)
        rig.index.join(0, holds: true)
        var model = WriterModel(segmentBytes: segmentBytes, limits: limits)
        let writer = rig.writers[0]
        var batches: [[UInt8]] = []
        var placeOfSegment: [[BatchReference]] = []
        func takeAll() {
            for reference in rig.takeIn(0) {
                batches.append(rig.bytes(reference))
                if reference.ordinal == 0 { placeOfSegment.append([]) }
                placeOfSegment[placeOfSegment.count - 1].append(reference)
                #expect(rig.newest(0) != nil)
                rig.index.take(0, reference)
                rig.index.settle(0, reference)
            }
        }
        for step in steps {
            while rig.handOut(0) {}
            var available = 3
            switch step {
            case .packet(let size):
                #expect(model.append(size, available: &available))
                #expect(writer.append(size))
            case .flush:
                model.flush()
                writer.flush()
            case .seal:
                model.seal()
                writer.seal()
            }
            #expect(Int(writer.openPackets) == model.open.count)
            takeAll()
            #expect(batches.count == model.batches.count)
        }
        writer.seal()
        model.seal()
        takeAll()
        let stream = try rig.stream(batches)
        #expect(stream.rest == 0)
        #expect(stream.batches.map(\.packets) == model.batches.map { $0.map { writer.packets[$0] } })
        #expect(stream.batches.map(\.number) == (0..<UInt64(batches.count)).map { $0 })
        // A segment is left only when the next record does not fit, and ordinals count within it.
        let expected = (0..<placeOfSegment.count).map { segment in model.segmentOfBatch.count { $0 == segment } }
        #expect(placeOfSegment.map(\.count) == expected)
        for references in placeOfSegment {
            #expect(Set(references.map(\.segment)).count == 1)
            #expect(references.map(\.ordinal) == (0..<UInt32(references.count)).map { $0 })
        }
        #expect(writer.counters.value(.encoded) == UInt64(writer.packets.count))
        #expect(writer.counters.value(.batches) == UInt64(batches.count))
        #expect(writer.counters.value(.encodedBytes) == UInt64(batches.reduce(0) { $0 + $1.count }))
        // All are free but those that lie ready for the worker.
        let inHand = 5 - rig.freeSegments
        #expect(inHand <= BatchIndex.segmentsPerWorker)
    }

    @Test("Random packets, pauses and ends", arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func random(seed: UInt64) throws {
        var generator = Seeded(seed)
        let bytes = [64 << 10, 4096, 100, 512 << 10, 300_000, 1000][generator.below(6)]
        let packets = [UInt32.max, 1, 2, 17][generator.below(4)]
        let steps: [Step] = (0..<400).map { _ in
            switch generator.below(20) {
            case 0: .flush
            case 1 where generator.below(4) == 0: .seal
            case 2: .packet(262_144 - generator.below(3))
            case 3...5: .packet(generator.below(70_000))
            default: .packet(generator.below(2000))
            }
        }
        try check(BatchLimits(bytes: bytes, packets: packets), steps)
    }

    @Test("Exactly at the limits of a batch, a byte around them and a packet around them")
    func borders() throws {
        for bytes in [4096, 65536] {
            // One record of exactly the limit, less one word, more one word; then two that meet it together.
            let exact = bytes - 96 - 32
            for size in [exact - 8, exact - 4, exact - 3, exact, exact + 1, exact + 4, 2 * exact] {
                try check(BatchLimits(bytes: bytes), [.packet(0), .packet(size), .packet(0), .packet(size)])
                try check(BatchLimits(bytes: bytes), [.packet(size - 32), .packet(0), .packet(1)])
            }
        }
        for count: UInt32 in [1, 2, 3] {
            try check(BatchLimits(packets: count), [Step](repeating: .packet(60), count: 10))
        }
    }

    @Test("The largest records in the smallest segments, and batches that fill a segment to the last byte")
    func smallestSegment() throws {
        let largest = BlockType.snapshotLength
        try check(BatchLimits(), [Step](repeating: .packet(largest), count: 12))
        // Two records, two trailers and two directory entries of exactly a segment, and around it.
        let total = 512 << 10
        for more in -9...9 {
            let second = total - (largest + 32) - 2 * (96 + 4) - 32 + more
            try check(BatchLimits(), [.packet(largest), .packet(second), .packet(1), .packet(0)])
        }
    }

    @Test("The most batches a segment can hold are as many as the index has names for")
    func mostBatches() throws {
        try check(BatchLimits(packets: 1), [Step](repeating: .packet(0), count: 9000))
    }

    @Test("A batch is due its time after its first packet; none is due when nothing is open")
    func deadline() throws {
        let rig = try PoolRig(segments: 4, slots: 1, limits: BatchLimits(time: 5000))
        let writer = rig.writers[0]
        #expect(writer.deadline == .max)
        #expect(rig.handOut(0))
        writer.arrival = 70_000
        #expect(writer.append(60))
        writer.arrival = 72_000
        #expect(writer.append(60))
        #expect(writer.deadline == 75_000)
        writer.flush()
        #expect(writer.deadline == .max)
        let batch = try rig.stream([rig.bytes(try #require(rig.takeIn(0).first))]).batches[0]
        #expect(batch.firstArrival == 70_000)
        #expect(batch.lastArrival == 72_000)
    }

    @Test("Without a segment nothing is written, and the same packet may be tried again")
    func noSegment() throws {
        let rig = try PoolRig(segments: 4, slots: 1, limits: BatchLimits())
        let writer = rig.writers[0]
        #expect(!writer.append(100))
        #expect(!writer.append(100))
        #expect(writer.openPackets == 0)
        #expect(rig.handOut(0))
        #expect(writer.append(100))
        var taken = 1
        while writer.append(10_000) { taken += 1 }
        #expect(!writer.append(10_000))
        #expect(rig.handOut(0))
        #expect(writer.append(10_000))
        writer.seal()
        let packets = try rig.stream(rig.takeIn(0).map(rig.bytes)).packets
        #expect(packets == writer.packets)
        #expect(packets.count == taken + 1)
    }

    @Test("The checksum of the interface list is that of the interfaces used so far")
    func interfaces() throws {
        let rig = try PoolRig(segments: 4, slots: 1, limits: BatchLimits())
        _ = rig.handOut(0)
        var sums: [UInt32] = []
        for (known, used) in [(1, 0), (2, 0), (2, 1), (5, 2), (5, 0), (5, 4)] as [(Int, UInt32)] {
            for number in 0..<known { _ = rig.registry.register(PoolRig.interface(number)) }
            #expect(rig.writers[0].append(60, interface: used))
            rig.writers[0].flush()
            sums.append(try #require(try rig.stream(rig.takeIn(0).map(rig.bytes)).batches.first).interfaceCRC)
        }
        let expected = [1, 1, 2, 3, 3, 5].map { count in
            referenceCRC32C((0..<count).flatMap { PoolRig.interface($0) })
        }
        #expect(sums == expected)
    }
}
