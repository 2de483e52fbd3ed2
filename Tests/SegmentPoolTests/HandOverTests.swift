import Machine
import SegmentPool
import Synchronization
import TestSupport
import Testing

/// Workers and the index on threads of their own, as in the program.
@Suite("Segments between threads", .serialized, .timeLimit(.minutes(5)))
struct HandOverTests {
    private final class WriterBox: @unchecked Sendable {
        // Safe because one thread at a time uses it.
        let writer: PoolWriter
        init(_ writer: PoolWriter) { self.writer = writer }
    }

    private final class Thread {
        private var thread: PinnedThread?
        init(_ thread: consuming PinnedThread) { self.thread = consume thread }
        func join() { if let thread = thread.take() { thread.join() } }
    }

    @Test("Everything written arrives whole in every slot, whatever the order", arguments: [1, 2], [UInt32.max, 1])
    func soak(workers: Int, batchPackets: UInt32) throws {
        let limits = BatchLimits(bytes: 20_000, packets: batchPackets)
        let rig = try PoolRig(
            segments: workers * 3 + 2, ready: workers * 2, slots: 2, workers: workers, limits: limits)
        let pool = rig.pool
        let memory = Thread(try PinnedThread(name: "memory", cpus: nil) { try! pool.touchAsWanted() })
        rig.index.join(0, holds: true)
        rig.index.join(1, holds: true)
        let running = Counter(workers)
        var threads: [Thread] = []
        var boxes: [WriterBox] = []
        for worker in 0..<workers {
            let box = WriterBox(rig.writers[worker])
            boxes.append(box)
            let thread = try PinnedThread(name: "worker", cpus: nil) {
                var random = Seeded(UInt64(worker))
                for number in 0..<3000 {
                    let size = random.below(number % 50 == 0 ? 100_000 : 1500)
                    while !box.writer.append(size) { Clock.sleep(nanoseconds: 20_000) }
                    box.writer.arrival += UInt64(random.below(3))
                    if random.below(40) == 0 { box.writer.flush() }
                    if random.below(900) == 0 { box.writer.seal() }
                }
                box.writer.seal()
                running.subtract()
            }
            threads.append(Thread(thread))
        }
        var random = Seeded(99)
        var batches: [[UInt64: [UInt8]]] = Array(repeating: [:], count: workers)
        var inFlight: [[BatchReference]] = [[], []]
        var settled = [0, 0]
        var arrived = 0
        var isOver = false
        let deadline = ContinuousClock.now + .seconds(60)
        while !isOver, ContinuousClock.now < deadline {
            let ended = running.value == 0
            _ = rig.admitTouched()
            for worker in 0..<workers {
                while rig.handOut(worker) {}
                for reference in rig.takeIn(worker, limit: 16) {
                    arrived += 1
                    let bytes = rig.bytes(reference)
                    // The trailer's number, 32 bytes into its 96.
                    let digits = bytes[(bytes.count - 64)..<(bytes.count - 56)]
                    let number = digits.reversed().reduce(0) { $0 << 8 | UInt64($1) }
                    #expect(batches[worker].updateValue(bytes, forKey: number) == nil)
                }
            }
            for slot in 0..<2 {
                for _ in 0..<random.below(20) {
                    guard let next = slot == 0 ? rig.newest(slot) : rig.oldest(slot) else { break }
                    rig.index.take(slot, next)
                    inFlight[slot].append(next)
                }
                while !inFlight[slot].isEmpty, ended || random.below(4) > 0 {
                    let reference = inFlight[slot].removeFirst()
                    if random.below(10) == 0 {
                        rig.index.putBack(slot, reference)
                    } else {
                        rig.index.settle(slot, reference)
                        settled[slot] += 1
                    }
                }
            }
            let allIn = ended && (0..<workers).allSatisfy { rig.hasTakenInAll($0) }
            isOver = allIn && rig.isDrained(0) && rig.isDrained(1) && inFlight == [[], []]
        }
        for thread in threads { thread.join() }
        pool.want(pool.count)
        memory.join()
        // What the thread has touched since the last look is free as soon as it is known.
        _ = rig.admitTouched()
        #expect(isOver)
        #expect(settled == [arrived, arrived])
        for worker in 0..<workers {
            let sorted = batches[worker].sorted { $0.key < $1.key }
            #expect(sorted.map(\.key) == (0..<UInt64(sorted.count)).map { $0 })
            let packets = try rig.stream(sorted.map(\.value)).packets
            #expect(PacketDifference(packets, expected: boxes[worker].writer.packets).isNone)
        }
        #expect(pool.touched - rig.freeSegments <= workers * BatchIndex.segmentsPerWorker)
    }

    private final class Counter: Sendable {
        private let count: Atomic<Int>
        init(_ value: Int) { count = Atomic(value) }
        var value: Int { count.load(ordering: .acquiring) }
        func subtract() { count.subtract(1, ordering: .releasing) }
    }
}
