import Glibc
import SegmentPool
import TestSupport
import Testing

/// A rig and its model, driven in step by random operations.
private final class IndexDriver {
    let rig: PoolRig
    private var model: IndexModel
    private var writerModels: [WriterModel]
    private var random: Seeded
    private let workers: Int
    private let slots: Int
    /// For each worker, batches taken in and segments completely taken in.
    private var takenIn: [Int]
    private var segmentsDone: [Int]
    private var arrival: UInt64 = 1000
    private let tiesOften: Bool

    init(seed: UInt64, workers: Int, slots: Int) throws {
        random = Seeded(seed)
        (self.workers, self.slots) = (workers, slots)
        let segments = workers * 3 + 1 + random.below(8)
        let limits = BatchLimits(
            bytes: [4096, 65536, 200_000][random.below(3)], packets: [1, 3, UInt32.max][random.below(3)])
        // Half of the pools are only partly touched at first.
        let ready = random.below(2) == 0 ? 1 + random.below(segments) : segments
        rig = try PoolRig(segments: segments, ready: ready, slots: slots, workers: workers, limits: limits)
        model = IndexModel(segments: ready, slots: slots, workers: workers)
        writerModels = (0..<workers).map { _ in WriterModel(segmentBytes: 512 << 10, limits: limits) }
        takenIn = Array(repeating: 0, count: workers)
        segmentsDone = takenIn
        tiesOften = seed % 2 == 0
    }

    /// One random step.
    func step() throws {
        let worker = random.below(workers)
        let slot = random.below(slots)
        switch random.below(24) {
        case 0...7: append(worker)
        case 8: flush(worker)
        case 9: if random.below(6) == 0 { seal(worker) }
        case 10...11: handOut(worker)
        case 12...14: takeIn(worker, limit: random.below(3) == 0 ? 1 + random.below(4) : .max)
        case 15: if random.below(3) == 0 { joinOrLeave(slot) }
        case 16: relieve()
        case 17: if random.below(60) == 0 { try grow() }
        default: if model.slots[slot] != nil { deliver(slot) }
        }
        compare()
    }

    private func append(_ worker: Int) {
        if !tiesOften || random.below(3) == 0 { arrival += 1 }
        rig.writers[worker].arrival = arrival
        let size = [60, 1000, 40_000, 250_000][min(random.below(5), 3)] + random.below(5)
        var available = handedOutAndNotTaken(worker)
        let fits = writerModels[worker].append(size, available: &available)
        #expect(rig.writers[worker].append(size) == fits)
    }

    private func handedOutAndNotTaken(_ worker: Int) -> Int {
        segmentsDone[worker] + model.queues[worker].count - writerModels[worker].segmentsTaken
    }

    private func flush(_ worker: Int) {
        writerModels[worker].flush()
        rig.writers[worker].flush()
    }

    private func seal(_ worker: Int) {
        writerModels[worker].seal()
        rig.writers[worker].seal()
    }

    private func handOut(_ worker: Int) {
        let possible = model.canHandOut(worker)
        #expect(rig.handOut(worker) == possible)
        if possible { model.handOut(worker) }
    }

    private func takeIn(_ worker: Int, limit: Int) {
        let published = writerModels[worker].batches.count
        let references = rig.takeIn(worker, limit: limit)
        // Everything that was published, or as much as was asked for.
        #expect(references.count == min(limit, published - takenIn[worker]))
        for reference in references {
            leaveSegments(worker, before: writerModels[worker].segmentOfBatch[takenIn[worker]])
            let packets = writerModels[worker].batches[takenIn[worker]]
            let fits = model.add(
                worker: worker, reference, number: takenIn[worker], packets: packets.count,
                arrival: rig.pool.lastArrival(reference),
                bytes: rig.bytes(reference))
            #expect(fits, "\(reference) cannot be in a segment of worker \(worker)")
            #expect(rig.pool.packets(reference) == UInt32(packets.count))
            #expect(Int(reference.segment) < model.segmentCount, "a segment that is not touched yet")
            takenIn[worker] += 1
        }
        if references.count < limit {
            leaveSegments(worker, before: writerModels[worker].segmentsLeft)
        } else if let last = writerModels[worker].segmentOfBatch.prefix(takenIn[worker]).last {
            // A segment is done with its last batch, also when that was the last one asked for.
            let next = writerModels[worker].segmentOfBatch.dropFirst(takenIn[worker]).first
            if next != last { leaveSegments(worker, before: min(last + 1, writerModels[worker].segmentsLeft)) }
        }
        let isDone = takenIn[worker] == published && segmentsDone[worker] == writerModels[worker].segmentsLeft
        if references.count < limit { #expect(isDone) }
        if isDone { #expect(rig.hasTakenInAll(worker)) }
    }

    private func leaveSegments(_ worker: Int, before number: Int) {
        while segmentsDone[worker] < number {
            model.leaveSegment(worker)
            segmentsDone[worker] += 1
        }
    }

    private func joinOrLeave(_ slot: Int) {
        if model.slots[slot] == nil {
            let holds = random.below(2) == 0
            rig.index.join(slot, holds: holds)
            model.join(slot, holds: holds)
        } else if model.slots[slot]!.isPinned == false {
            for batch in model.batches(slot, .inFlight) {
                if random.below(2) == 0 { settle(slot, batch) } else { putBack(slot, batch) }
            }
            let lost = model.batches(slot, .unsent).reduce(0) { $0 + model.batches[$1].packets }
            #expect(rig.leave(slot) == UInt64(lost))
            model.leave(slot)
        }
        // The last slot lends its segments to another thread.
        if slot == slots - 1, model.slots[slot] != nil, !model.slots[slot]!.isPinned {
            rig.index.pin(slot)
            model.pin(slot)
        }
    }

    private func deliver(_ slot: Int) {
        let unsent = model.batches(slot, .unsent)
        let inFlight = model.batches(slot, .inFlight)
        switch random.below(8) {
        case 0...2: if let batch = unsent.last { take(slot, batch) }
        case 3: if let batch = unsent.first { take(slot, batch) }
        case 4: if !unsent.isEmpty { take(slot, unsent[random.below(unsent.count)]) }
        case 5:
            if !unsent.isEmpty {
                let batch = unsent[random.below(unsent.count)]
                check(batch)
                rig.index.drop(slot, model.batches[batch].reference)
                model.set(slot, batch, nil)
            }
        case 6: if !inFlight.isEmpty { putBack(slot, inFlight[random.below(inFlight.count)]) }
        default: if !inFlight.isEmpty { settle(slot, inFlight[random.below(inFlight.count)]) }
        }
    }

    private func take(_ slot: Int, _ batch: Int) {
        rig.index.take(slot, model.batches[batch].reference)
        model.set(slot, batch, .inFlight)
    }

    private func putBack(_ slot: Int, _ batch: Int) {
        rig.index.putBack(slot, model.batches[batch].reference)
        model.set(slot, batch, .unsent)
    }

    private func settle(_ slot: Int, _ batch: Int) {
        check(batch)
        rig.index.settle(slot, model.batches[batch].reference)
        model.set(slot, batch, nil)
    }

    /// A batch that somebody is owed has the bytes it had when it came in.
    private func check(_ batch: Int) {
        let known = model.batches[batch]
        let now = unsafe rig.pool.batch(known.reference)
        let same = unsafe now.count == known.bytes.count && memcmp(now.baseAddress!, known.bytes, now.count) == 0
        #expect(same, "batch \(batch) changed")
    }

    /// The rest of the pool is touched.
    private func grow() throws {
        guard model.segmentCount < rig.pool.count else { return }
        #expect(rig.pool.isGrowing)
        #expect(rig.admitTouched())
        rig.pool.want(rig.pool.count)
        try rig.pool.touchAsWanted()
        #expect(!rig.pool.isGrowing)
        #expect(!rig.admitTouched())
        model.segmentCount = rig.pool.count
    }

    /// Takes a segment away from everybody.
    private func relieve() {
        let evenHeld = random.below(2) == 0
        guard let segment = rig.victim(evenHeld: evenHeld) else { return }
        for slot in 0..<slots where model.slots[slot] != nil {
            let unsent = model.batches(slot, .unsent).filter { isIn($0, segment) }
            let inFlight = model.batches(slot, .inFlight).filter { isIn($0, segment) }
            let (lost, packets) = rig.evict(slot, from: segment)
            #expect(lost == unsent.map { model.batches[$0].reference })
            #expect(packets == unsent.reduce(0) { $0 + model.batches[$1].packets })
            for batch in unsent + inFlight { model.set(slot, batch, nil) }
        }
    }

    private func isIn(_ batch: Int, _ segment: UInt32) -> Bool {
        let known = model.batches[batch]
        return known.reference.segment == segment && model.inUse[known.handOut] != nil
    }

    /// Holds everything the index says against the model.
    private func compare() {
        #expect(rig.freeSegments == model.freeSegments)
        for slot in 0..<slots {
            #expect(rig.isJoined(slot) == (model.slots[slot] != nil))
            guard model.slots[slot] != nil else { continue }
            let unsent = model.batches(slot, .unsent)
            #expect(rig.newest(slot) == unsent.last.map { model.batches[$0].reference })
            #expect(rig.oldest(slot) == unsent.first.map { model.batches[$0].reference })
            #expect(rig.isDrained(slot) == unsent.isEmpty)
            #expect(rig.owedSegments(slot) == model.owedSegments(slot))
            if let batch = model.batches(slot, .inFlight).first {
                let segment = model.batches[batch].reference.segment
                let count = model.batches(slot, .inFlight).count { isIn($0, segment) }
                #expect(rig.inFlight(slot, in: segment) == UInt32(count))
            }
        }
        for worker in 0..<workers {
            #expect(rig.wantsSegment(worker) == (model.queues[worker].count < 3))
        }
        #expect(rig.victim(evenHeld: false) == model.victim(evenHeld: false))
        #expect(rig.victim(evenHeld: true) == model.victim(evenHeld: true))
        let mask = random.next() & 0xff
        #expect(rig.victim(owedOnlyTo: mask) == model.victim(owedOnlyTo: mask))
    }

    /// Ends the run: everything is delivered, and what was taken in is what was written.
    func finish() throws {
        for worker in 0..<workers {
            seal(worker)
            takeIn(worker, limit: .max)
        }
        compare()
        for slot in 0..<slots where model.slots[slot] != nil {
            for batch in model.batches(slot, .inFlight) { settle(slot, batch) }
            while let batch = model.batches(slot, .unsent).last {
                take(slot, batch)
                settle(slot, batch)
            }
        }
        compare()
        let inHand = (0..<workers).reduce(0) { $0 + handedOutAndNotTaken($1) }
        #expect(rig.freeSegments == model.segmentCount - inHand)
        for worker in 0..<workers {
            let batches = model.batches.filter { $0.worker == worker }
            let stream = try rig.stream(batches.map(\.bytes))
            #expect(stream.batches.map(\.number) == (0..<UInt64(batches.count)).map { $0 })
            #expect(stream.packets == rig.writers[worker].packets)
        }
    }
}

@Suite("Batch index", .timeLimit(.minutes(5)))
struct BatchIndexTests {
    @Test("Random operations against a model of arrays: one worker", arguments: 1...10 as ClosedRange<UInt64>)
    func oneWorker(seed: UInt64) throws {
        let driver = try IndexDriver(seed: seed, workers: 1, slots: 3)
        for _ in 0..<1500 { try driver.step() }
        try driver.finish()
    }

    @Test("Random operations against a model of arrays: several workers", arguments: 1...10 as ClosedRange<UInt64>)
    func severalWorkers(seed: UInt64) throws {
        let driver = try IndexDriver(seed: seed, workers: 2 + Int(seed % 2), slots: 4)
        for _ in 0..<1500 { try driver.step() }
        try driver.finish()
    }

    @Test("Equal arrivals of two workers: the greater number goes first")
    func ties() throws {
        let rig = try PoolRig(segments: 8, slots: 1, workers: 2, limits: BatchLimits(packets: 1))
        rig.index.join(0, holds: true)
        for worker in 0..<2 { #expect(rig.handOut(worker)) }
        // Worker 0 has written three batches and worker 1 one when both write at the same moment.
        for _ in 0..<3 { #expect(rig.writers[0].append(60)) }
        #expect(rig.writers[1].append(60))
        rig.writers[0].arrival = 5000
        rig.writers[1].arrival = 5000
        #expect(rig.writers[0].append(60))
        #expect(rig.writers[1].append(60))
        var numbers: [UInt64] = []
        for worker in 0..<2 { _ = rig.takeIn(worker) }
        for _ in 0..<2 {
            let next = try #require(rig.newest(0))
            numbers.append(try rig.stream([rig.bytes(next)]).batches[0].number)
            rig.index.take(0, next)
        }
        #expect(numbers == [3, 1])
    }

    @Test("A pool without a segment to spare is refused, and so are too many destinations and a slot joined twice")
    func preconditions() async {
        await #expect(processExitsWith: .failure) { _ = try PoolRig(segments: 3, slots: 1) }
        await #expect(processExitsWith: .failure) { _ = try PoolRig(segments: 6, slots: 1, workers: 2) }
        await #expect(processExitsWith: .failure) { _ = try PoolRig(segments: 4, slots: 65) }
        await #expect(processExitsWith: .failure) { _ = try PoolRig(segmentBytes: 256 << 10, segments: 4, slots: 1) }
        await #expect(processExitsWith: .failure) { _ = try PoolRig(segmentBytes: 600 << 10, segments: 4, slots: 1) }
        await #expect(processExitsWith: .failure) {
            let rig = try PoolRig(segments: 4, slots: 1)
            rig.index.join(0, holds: true)
            rig.index.join(0, holds: true)
        }
        await #expect(processExitsWith: .success) { _ = try PoolRig(segments: 4, slots: 64) }
    }
}
