import Machine
import Synchronization
import Testing

/// An element of an odd size whose parts all follow from its number.
private struct Odd: BitwiseCopyable, Equatable, Sendable {
    var number: UInt64
    var copy: UInt32
    var tail: UInt8

    init(_ number: UInt64) {
        self.number = number
        copy = ~UInt32(truncatingIfNeeded: number)
        tail = UInt8(truncatingIfNeeded: number &* 7)
    }
}

/// Random numbers that are the same in every run (SplitMix64).
private struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

@Suite("SPSC ring", .timeLimit(.minutes(5)))
struct RingTests {
    @Test(
        "Random single and batched pushes and pops against an array", arguments: [1, 2, 4, 64], [1, 2, 3] as [UInt64])
    func model(capacity: Int, seed: UInt64) throws {
        let ring = try SPSCRing<Odd>(capacity: capacity)
        var producer = ring.makeProducer()
        var consumer = ring.makeConsumer()
        var random = Seeded(seed)
        // Pushed and not visible; visible and not popped; popped and not given back.
        var (hidden, visible): ([Odd], [Odd]) = ([], [])
        var held = 0
        var next: UInt64 = 0
        for _ in 0..<3000 {
            let room = capacity - hidden.count - visible.count - held
            switch random.below(9) {
            case 0...1:
                let fits = producer.push(Odd(next))
                #expect(fits == (room > 0))
                if fits { hidden.append(Odd(next)); next += 1 }
            case 2:
                let source = (0..<random.below(2 * capacity + 1)).map { Odd(next + UInt64($0)) }
                let taken = unsafe source.withUnsafeBufferPointer { source in
                    source.isEmpty ? 0 : unsafe producer.push(source.baseAddress!, count: source.count)
                }
                #expect(taken == min(room, source.count))
                hidden += source.prefix(taken)
                next += UInt64(taken)
            case 3...4:
                producer.publish()
                visible += hidden
                hidden = []
            case 5:
                let element = consumer.pop()
                #expect(element == visible.first)
                if element != nil { visible.removeFirst(); held += 1 }
            case 6:
                var target = [Odd](repeating: Odd(.max), count: random.below(2 * capacity + 1) + 1)
                let count = target.count - 1
                let taken = unsafe target.withUnsafeMutableBufferPointer {
                    unsafe consumer.pop(into: $0.baseAddress!, count: count)
                }
                #expect(taken == min(visible.count, count))
                #expect(Array(target[..<taken]) == Array(visible.prefix(taken)))
                #expect(target[taken...].allSatisfy { $0 == Odd(.max) })
                visible.removeFirst(taken)
                held += taken
            case 7:
                consumer.release()
                held = 0
            default:
                let (free, isEmpty) = (producer.free(), consumer.isEmpty())
                #expect(free == room)
                #expect(isEmpty == visible.isEmpty)
            }
        }
    }

    @Test("Nothing is visible before it is published, and no slot is used again before it is given back")
    func publication() throws {
        let ring = try SPSCRing<UInt16>(capacity: 2)
        var producer = ring.makeProducer()
        var consumer = ring.makeConsumer()
        let pushed = [producer.push(1), producer.push(2), producer.push(3)]
        #expect(pushed == [true, true, false])
        let early = consumer.pop()
        #expect(early == nil)
        producer.publish()
        let popped = [consumer.pop(), consumer.pop(), consumer.pop()]
        #expect(popped == [1, 2, nil])
        let before = producer.push(4)
        consumer.release()
        let after = producer.push(4)
        #expect([before, after] == [false, true])
    }

    @Test("Two threads: order and content of 200000 elements, single and batched", arguments: [1, 8, 1024])
    func soak(capacity: Int) throws {
        let ring = try SPSCRing<Odd>(capacity: capacity)
        let total: UInt64 = 200_000
        var consumer = ring.makeConsumer()
        let thread = try PinnedThread(name: "producer", cpus: nil) {
            var producer = ring.makeProducer()
            var random = Seeded(5)
            var next: UInt64 = 0
            var idle = 0
            while next < total {
                let before = next
                if random.below(2) == 0 {
                    if producer.push(Odd(next)) { next += 1 }
                } else {
                    let count = min(1 + random.below(capacity), Int(total - next), 40)
                    let source = (0..<count).map { Odd(next + UInt64($0)) }
                    next += unsafe source.withUnsafeBufferPointer {
                        UInt64(unsafe producer.push($0.baseAddress!, count: count))
                    }
                }
                // Now and then several pushes become visible at once.
                if next == before || random.below(3) > 0 { producer.publish() }
                idle = next == before ? idle + 1 : 0
                if idle > 100 { Clock.sleep(nanoseconds: 1000) }
            }
            producer.publish()
        }
        var random = Seeded(6)
        var (next, wrong, idle): (UInt64, Int, Int) = (0, 0, 0)
        var target = [Odd](repeating: Odd(0), count: 64)
        while next < total, idle < 20_000_000 {
            var taken = 0
            if random.below(2) == 0 {
                if let element = consumer.pop() { (target[0], taken) = (element, 1) }
            } else {
                taken = unsafe target.withUnsafeMutableBufferPointer {
                    unsafe consumer.pop(into: $0.baseAddress!, count: 1 + random.below(64))
                }
            }
            for place in 0..<taken {
                if target[place] != Odd(next) { wrong += 1 }
                next += 1
            }
            if taken == 0 || random.below(3) > 0 { consumer.release() }
            idle = taken == 0 ? idle + 1 : 0
            if idle > 100 { Clock.sleep(nanoseconds: 1000) }
        }
        #expect(next == total)
        #expect(wrong == 0)
        thread.join()
        let isEmpty = consumer.isEmpty()
        #expect(isEmpty)
    }

    @Test("An end is handed out once, and a capacity is a power of two")
    func preconditions() async {
        await #expect(processExitsWith: .failure) {
            let ring = try SPSCRing<UInt64>(capacity: 4)
            _ = ring.makeProducer()
            _ = ring.makeProducer()
        }
        await #expect(processExitsWith: .failure) {
            let ring = try SPSCRing<UInt64>(capacity: 4)
            _ = ring.makeConsumer()
            _ = ring.makeConsumer()
        }
        await #expect(processExitsWith: .failure) { _ = try SPSCRing<UInt64>(capacity: 3) }
        await #expect(processExitsWith: .failure) { _ = try SPSCRing<UInt64>(capacity: 0) }
        await #expect(processExitsWith: .failure) { _ = try ByteRing(byteCount: 2048) }
        await #expect(processExitsWith: .failure) { _ = try ByteRing(byteCount: 12288) }
        await #expect(processExitsWith: .failure) {
            let ring = try ByteRing(byteCount: 4096)
            _ = ring.makeConsumer()
            _ = ring.makeConsumer()
        }
        await #expect(processExitsWith: .success) {
            let ring = try SPSCRing<UInt64>(capacity: 4)
            _ = ring.makeProducer()
            _ = ring.makeConsumer()
        }
    }
}

@Suite("Byte ring", .timeLimit(.minutes(5)))
struct ByteRingTests {
    /// Writes an entry: its length, its number, and bytes that follow from the number.
    private static func fill(_ target: UnsafeMutableRawPointer, _ count: Int, _ number: UInt64) {
        unsafe target.storeBytes(of: UInt64(count), as: UInt64.self)
        unsafe target.storeBytes(of: number, toByteOffset: 8, as: UInt64.self)
        for place in 16..<count {
            unsafe target.storeBytes(
                of: UInt8(truncatingIfNeeded: number &+ UInt64(place)), toByteOffset: place, as: UInt8.self)
        }
    }

    /// The length of an entry if it is whole and has this number.
    private static func check(_ source: UnsafeRawPointer, _ number: UInt64) -> Int? {
        let count = Int(unsafe source.load(as: UInt64.self))
        guard unsafe source.load(fromByteOffset: 8, as: UInt64.self) == number else { return nil }
        for place in 16..<count {
            let byte = unsafe source.load(fromByteOffset: place, as: UInt8.self)
            guard byte == UInt8(truncatingIfNeeded: number &+ UInt64(place)) else { return nil }
        }
        return count
    }

    @Test("Entries of every length wrap whole; a full ring says so at once")
    func wrap() throws {
        let ring = try ByteRing(byteCount: 4096)
        var producer = ring.makeProducer()
        var consumer = ring.makeConsumer()
        var random = Seeded(1)
        var waiting: [Int] = []
        var held = 0
        var (written, read): (UInt64, UInt64) = (0, 0)
        for _ in 0..<4000 {
            let count = 16 + 8 * random.below(200)
            let room = 4096 - waiting.reduce(0, +) - held
            if random.below(2) == 0 {
                let target = unsafe producer.reserve(count)
                #expect(unsafe (target != nil) == (count <= room))
                if let target = unsafe target {
                    unsafe Self.fill(target, count, written)
                    producer.commit(count)
                    producer.publish()
                    waiting.append(count)
                    written += 1
                }
            } else {
                let entry = unsafe consumer.peek()
                #expect(unsafe (entry == nil) == waiting.isEmpty)
                if let entry = unsafe entry {
                    #expect(unsafe Self.check(entry, read) == waiting[0])
                    let first = waiting.removeFirst()
                    consumer.consume(first)
                    held += first
                    read += 1
                }
                if random.below(3) == 0 {
                    consumer.release()
                    held = 0
                }
            }
        }
        // The whole ring at once, and not a byte more.
        while let _ = unsafe consumer.peek() { consumer.consume(waiting.removeFirst()) }
        consumer.release()
        let most = unsafe producer.reserve(4096)
        let more = unsafe producer.reserve(4104)
        #expect(unsafe most != nil)
        #expect(unsafe more == nil)
    }

    @Test("Two threads: 100000 entries of odd lengths, in order and whole")
    func soak() throws {
        let ring = try ByteRing(byteCount: 16384)
        let total: UInt64 = 100_000
        let thread = try PinnedThread(name: "producer", cpus: nil) {
            var producer = ring.makeProducer()
            var random = Seeded(2)
            for number in 0..<total {
                let count = 16 + 8 * random.below(number % 100 == 0 ? 1000 : 8)
                var target = unsafe producer.reserve(count)
                while unsafe target == nil {
                    producer.publish()
                    Clock.sleep(nanoseconds: 1000)
                    unsafe target = producer.reserve(count)
                }
                unsafe Self.fill(target!, count, number)
                producer.commit(count)
                if random.below(3) == 0 { producer.publish() }
            }
            producer.publish()
        }
        var consumer = ring.makeConsumer()
        var (next, wrong): (UInt64, Int) = (0, 0)
        let deadline = ContinuousClock.now + .seconds(50)
        while next < total, wrong == 0, ContinuousClock.now < deadline {
            while let entry = unsafe consumer.peek() {
                guard let count = unsafe Self.check(entry, next) else {
                    wrong += 1
                    break
                }
                consumer.consume(count)
                next += 1
                if next % 7 == 0 { consumer.release() }
            }
            consumer.release()
            Clock.sleep(nanoseconds: 1000)
        }
        #expect(next == total)
        #expect(wrong == 0)
        if next == total { thread.join() }
    }
}
