import Machine
import Reassembly
import TestSupport
import Testing

@Suite("Time, memory and places", .timeLimit(.minutes(5)))
struct LimitTests {
    private let second: UInt64 = 1_000_000_000

    @Test("What is not complete in time leaves as it came, oldest first, by packet time")
    func timeout() throws {
        let rig = try Rig(timeout: 30 * second)
        var sample = Sample(size: 3000)
        let start: UInt64 = 1_700_000_000 * second
        var expected: [Frame] = []
        for number in 0..<10 {
            sample.identification = UInt32(number)
            for fragment in sample.fragments(of: 1480).prefix(2) {
                let frame = Frame(
                    fragment, time: start + UInt64(number) * second, interface: 3, original: fragment.count)
                expected.append(frame)
                rig.send(frame)
            }
        }
        #expect(rig.passed.isEmpty && rig.held == 20)
        // Any packet moves the clock; this one is not a fragment.
        let other = Sample(size: 10).whole
        rig.send(Frame(other, time: start + 34 * second))
        #expect(rig.passed == Array(expected.prefix(10)) + [Frame(other, time: start + 34 * second)])
        #expect(rig.unassembled == ["timeout": 10])
        // A last fragment in time still completes the sixth; one that is late does not complete the first.
        sample.identification = 5
        rig.send(Frame(sample.fragments(of: 1480)[2], time: start + 34 * second, interface: 3))
        #expect(rig.datagrams.count == 1)
        sample.identification = 0
        rig.send(Frame(sample.fragments(of: 1480)[2], time: start + 34 * second, interface: 3))
        #expect(rig.datagrams.count == 1)
        rig.expectNothingLost()
        #expect(rig.unassembled == ["timeout": 10, "end": 9])
    }

    @Test("In silence the time of arrival goes on, and does not count twice")
    func silence() throws {
        let rig = try Rig(timeout: 30 * second)
        var sample = Sample(size: 3000)
        let start: UInt64 = 1_700_000_000 * second
        rig.send(Frame(sample.fragments(of: 1480)[0], time: start))
        rig.wait(29 * second)
        #expect(rig.passed.isEmpty)
        rig.wait(2 * second)
        #expect(rig.unassembled == ["timeout": 1])
        // The silence is in the next stamp, too.
        sample.identification += 1
        rig.send(Frame(sample.fragments(of: 1480)[0], time: start + 31 * second))
        rig.send(Frame(sample.whole, time: start + 60 * second))
        #expect(rig.unassembled == ["timeout": 1])
        rig.send(Frame(sample.whole, time: start + 61 * second))
        #expect(rig.unassembled == ["timeout": 2])
        rig.expectNothingLost()
    }

    @Test("Stamps in disorder do not make time pass faster, and an older file begins anew")
    func disorder() throws {
        let rig = try Rig(timeout: 30 * second)
        let sample = Sample(size: 3000)
        let start: UInt64 = 1_700_000_000 * second
        rig.send(Frame(sample.fragments(of: 1480)[0], time: start))
        for step in 0..<100 { rig.send(Frame(sample.whole, time: start + (step % 2 == 0 ? 10 : 5) * second)) }
        #expect(rig.unassembled.isEmpty)
        // A year earlier; then it goes on from there.
        let earlier = start - 31_536_000 * second
        rig.send(Frame(sample.whole, time: earlier))
        rig.send(Frame(sample.whole, time: earlier + 19 * second))
        #expect(rig.unassembled.isEmpty)
        rig.send(Frame(sample.whole, time: earlier + 20 * second))
        #expect(rig.unassembled == ["timeout": 1])
        rig.expectNothingLost()
    }

    @Test("A full table lets the oldest datagram go, and a flood of firsts costs nobody else anything")
    func tableFull() throws {
        let rig = try Rig()
        var sample = Sample(size: 24)
        var sent: [[UInt8]] = []
        // One fragment of a datagram takes one block; there are two for each place.
        while rig.unassembled.isEmpty {
            sample.identification += 1
            sent.append(sample.fragments(of: 8)[0])
            rig.send([sent.last!])
            try #require(sent.count < 10_000)
        }
        #expect(rig.unassembled == ["table_full": 1])
        #expect(rig.passed.map(\.bytes) == [sent[0]])
        let places = sent.count - 1
        #expect(rig.usage.datagrams == UInt64(places))
        for _ in 0..<3 * places {
            sample.identification += 1
            sent.append(sample.fragments(of: 8)[0])
            rig.send([sent.last!])
        }
        #expect(rig.passed.map(\.bytes) == Array(sent.prefix(1 + 3 * places)))
        // The youngest are complete as soon as their others come.
        for _ in 0..<10 {
            rig.send(Array(sample.fragments(of: 8).dropFirst()))
            #expect(rig.datagrams.last?.bytes == sample.whole)
            sample.identification -= 1
        }
        rig.expectNothingLost()
    }

    @Test("Full memory lets the oldest datagrams go, as many as are in the way")
    func memoryFull() throws {
        let rig = try Rig()
        var sample = Sample(size: 40000)
        var sent: [[UInt8]] = []
        for _ in 0..<100 {
            sample.identification += 1
            for fragment in sample.fragments(of: 8952).prefix(3) {
                sent.append(fragment)
                rig.send([fragment])
            }
            #expect(rig.usage.bytes <= UInt64(ReassemblySettings.leastMemory))
        }
        #expect(rig.unassembled.keys.sorted() == ["memory_full"])
        #expect(rig.passed.map(\.bytes) == Array(sent.prefix(rig.passed.count)))
        rig.send(Array(sample.fragments(of: 8952).dropFirst(3)))
        #expect(rig.datagrams.map(\.bytes) == [sample.whole])
        rig.expectNothingLost()
    }

    @Test("A datagram that is larger than the memory, and a frame that is")
    func largerThanMemory() throws {
        let rig = try Rig()
        // Duplicates and padding make more of it than 64 KiB.
        var sample = Sample(size: 65000)
        sample.link = { packet, _ in
            PacketBuilder.ethernet(packet, type: 0x0800) + [UInt8](repeating: 0, count: 20_000)
        }
        rig.send(Array(sample.fragments(of: 1480).dropLast()))
        #expect(rig.datagrams.isEmpty)
        #expect(rig.unassembled.keys.sorted() == ["memory_full"])
        sample.link = { packet, _ in
            PacketBuilder.ethernet(packet, type: 0x0800) + [UInt8](repeating: 0, count: 255_000)
        }
        sample.identification += 1
        let before = rig.passed.count
        rig.send([sample.fragments(of: 1480)[0]])
        #expect(rig.passed.count == before + 1)
        rig.expectNothingLost()
    }

    @Test("More pieces apart from each other than a datagram may have")
    func holes() throws {
        let rig = try Rig(memory: 1 << 20)
        let sample = Sample(size: 1200)
        let fragments = sample.fragments(of: 8)
        let apart = stride(from: 0, to: fragments.count, by: 2).map { fragments[$0] }
        rig.send(Array(apart.prefix(32)))
        #expect(rig.unassembled.isEmpty)
        rig.send([apart[32]])
        #expect(rig.unassembled == ["holes": 33])
        // In order a datagram of so many fragments is nothing special.
        var other = sample
        other.identification += 1
        rig.send(other.fragments(of: 8))
        #expect(rig.datagrams.map(\.bytes) == [other.whole])
        rig.expectNothingLost()
    }

    @Test("More fragments, and more duplicates, than a datagram may have")
    func tooMany() throws {
        let rig = try Rig(memory: 4 << 20)
        let sample = Sample(size: 65000)
        rig.send(sample.fragments(of: 8))
        #expect(rig.datagrams.isEmpty)
        #expect(rig.unassembled == ["too_many": 8125])
        // The least MTU of IPv4, 68 bytes, leaves 48 for data.
        var least = sample
        least.identification += 1
        rig.send(least.fragments(of: 48))
        #expect(rig.datagrams.map(\.bytes) == [least.whole])
        rig.expectNothingLost()
        let second = try Rig()
        second.send([[UInt8]](repeating: sample.fragments(of: 1480)[0], count: 65))
        #expect(second.unassembled.isEmpty && second.counters.value(.duplicateFragments) == 64)
        second.send([sample.fragments(of: 1480)[0]])
        #expect(second.unassembled == ["too_many": 66])
        second.expectNothingLost()
    }

    @Test("With a known seed datagrams can be aimed at one bucket; it lets its oldest go and stays short")
    func collisions() throws {
        // A seed of zeros multiplies what does not depend on the identification by nothing.
        let rig = try Rig(memory: 1 << 20, seed: HashSeed(0, 0, 0, 0))
        var sample = Sample(size: 24)
        var sent: [[UInt8]] = []
        for number in 0..<200 {
            sample.identification = UInt32(number)
            sent.append(sample.fragments(of: 8)[0])
            rig.send([sent.last!])
        }
        #expect(rig.unassembled == ["collision": 184])
        #expect(rig.passed.map(\.bytes) == Array(sent.prefix(184)))
        // The youngest are still complete when their others come.
        rig.send(Array(sample.fragments(of: 8).dropFirst()))
        #expect(rig.datagrams.map(\.bytes) == [sample.whole])
        rig.expectNothingLost()
        // The same with a random seed crowds nobody out.
        let seeded = try Rig(memory: 1 << 20, seed: .random())
        seeded.send(sent)
        #expect(seeded.unassembled.isEmpty)
        seeded.expectNothingLost()
    }

    @Test("Rose: first and last fragments of datagrams that never become whole; others are not disturbed")
    func rose() throws {
        let rig = try Rig(memory: 1 << 20)
        var rose = Sample(size: 65000)
        var normal = Sample(size: 4000, version: 6)
        var expected: [[UInt8]] = []
        for round in 0..<5000 {
            rose.identification = UInt32(round)
            rig.send([rose.fragment(0, 1480), rose.fragment(64_000, 65_000)])
            normal.identification = UInt32(round)
            rig.send(normal.fragments(of: 1400))
            expected.append(normal.whole)
        }
        #expect(rig.datagrams.map(\.bytes) == expected)
        #expect(rig.unassembled.keys.allSatisfy { ["memory_full", "table_full"].contains($0) })
        rig.expectNothingLost()
        #expect(rig.passed.count == 10_000)
    }

    @Test("Random traffic of all kinds in little memory: nothing is lost, nothing is put together wrongly")
    func everything() throws {
        for (number, policy) in OverlapPolicy.allCases.enumerated() {
            var random = Seeded(UInt64(number + 77))
            let rig = try Rig(policy, timeout: 2 * second)
            var queue: [Frame] = []
            var wholes: Set<[UInt8]> = []
            for round in 0..<800 {
                var sample = Sample(
                    size: 1 + random.below(random.below(30) == 0 ? 9000 : 600), version: 4 + random.below(2) * 2)
                sample.identification = UInt32(random.below(500))
                sample.source = UInt8(random.below(4))
                sample.protocolNumber = random.below(2) == 0 ? 6 : 17
                let time = UInt64(round) * second / 20
                let piece = 8 * (1 + random.below(60))
                wholes.insert(sample.whole)
                guard sample.data.count > piece else { continue }
                for fragment in sample.fragments(of: piece) where random.below(40) > 0 {
                    queue.append(Frame(fragment, time: time, interface: UInt32(random.below(100) / 99)))
                    if random.below(20) == 0 { queue.append(queue[queue.count - 1]) }
                }
                queue.shuffle(using: &random)
                while queue.count > 60 { rig.send(queue.removeLast()) }
                if random.below(100) == 0 { rig.wait(second) }
            }
            for frame in queue { rig.send(frame) }
            rig.expectNothingLost()
            #expect(rig.datagrams.count > 20, "\(policy)")
            if policy == .drop {
                // Identifications are used again all the time, so pieces of two datagrams may fit; few do.
                let right = rig.datagrams.count { wholes.contains($0.bytes) }
                #expect(right * 10 > rig.datagrams.count * 9)
            }
        }
    }
}
