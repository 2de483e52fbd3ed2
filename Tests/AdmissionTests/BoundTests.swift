import Admission
import Testing

/// Numbers that are the same in every run (xorshift, Marsaglia 2003).
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x2545_F491_4F6C_DD1D | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    /// From 0 up to 1.
    mutating func unit() -> Double { Double(next() >> 11) / Double(1 << 53) }

    /// Anything a relay could say, likely and unlikely.
    mutating func reading() -> Reading {
        let seconds = 0.01 + 0.02 * unit()
        let capacity = Double(SimulatedRelay.limits.capacity)
        return Reading(
            seconds: seconds, ingressBytes: UInt64(unit() * 20 * drainRate * seconds),
            drainedBytes: next() % 8 == 0 ? 0 : UInt64(unit() * 2 * drainRate * seconds), isStarved: next() % 4 == 0,
            occupiedBytes: UInt64(unit() * capacity * 0.9), spilledBytes: UInt64(unit() * 20 * drainRate * seconds),
            canSpill: next() % 64 != 0)
    }
}

@Suite("What the governor never does")
struct BoundTests {
    /// Pieces of a load of random height, shape and length, as (start, from, to).
    private func load(_ random: inout Numbers) -> [(start: Double, from: Double, to: Double)] {
        var pieces: [(Double, Double, Double)] = []
        var start = 0.0
        while start < 60 {
            let from = random.unit() * (random.next() % 3 == 0 ? 20 : 2) * drainRate
            let isRamp = random.next() % 2 == 0
            pieces.append((start, from, isRamp ? random.unit() * 20 * drainRate : from))
            start += 0.1 + 5 * random.unit()
        }
        return pieces.map { (start: $0.0, from: $0.1, to: $0.2) }
    }

    private func rate(_ pieces: [(start: Double, from: Double, to: Double)], at time: Double) -> Double {
        let index = (pieces.lastIndex { $0.start <= time }) ?? 0
        let end = index + 1 < pieces.count ? pieces[index + 1].start : 60
        let part = (time - pieces[index].start) / max(0.1, end - pieces[index].start)
        return pieces[index].from + (pieces[index].to - pieces[index].from) * min(1, part)
    }

    @Test("Steps, ramps, bursts and saws: memory never fills while the disk can take them", arguments: 1...40)
    func randomLoads(_ seed: Int) {
        var random = Numbers(seed: UInt64(seed))
        let pieces = load(&random)
        let dies = 10 + 20 * random.unit()
        let returns = dies + 20 * random.unit()
        var relay = SimulatedRelay(
            offered: { rate(pieces, at: $0) },
            drain: { dies < $0 && $0 < returns && seed % 2 == 0 ? 0 : drainRate })
        relay.run(seconds: 60)
        #expect(relay.dropped == 0)
        #expect(relay.history.allSatisfy { 1...Governor.most ~= $0 })
    }

    @Test("Without the governor the same loads go to the live lane whole, and it falls behind")
    func withoutIt() {
        func live(fixed: UInt32?) -> Double {
            var relay = SimulatedRelay(offered: { _ in 5 * drainRate }, drain: { _ in drainRate }, fixed: fixed)
            relay.run(seconds: 60)
            return relay.admitted / relay.deliveredLive
        }
        #expect(live(fixed: 1) > 4.5)
        #expect(live(fixed: nil) < 1.5)
    }

    @Test("While a dead destination drains nothing N stays, and is the same when it is back")
    func frozen() {
        var relay = SimulatedRelay(
            offered: { $0 < 60 ? 3 * drainRate : 0.5 * drainRate },
            drain: { 50 < $0 && $0 < 100 ? 0 : drainRate })
        relay.run(seconds: 51)
        let before = relay.n
        #expect(before > 1)
        relay.run(seconds: 48)
        #expect(relay.governor.state == .frozen)
        #expect(relay.n == before)
        relay.run(seconds: 20)
        #expect(relay.n == 1)
    }

    @Test("While nothing can be written N is 1")
    func unwritable() {
        var relay = SimulatedRelay(
            offered: { _ in 5 * drainRate }, drain: { _ in drainRate }, disk: { 30 < $0 && $0 < 60 ? 0 : 400e6 })
        relay.run(seconds: 30)
        #expect(relay.n > 1)
        relay.run(seconds: 2)
        #expect(relay.n == 1)
        #expect(relay.governor.state == .unwritable)
        relay.run(seconds: 27)
        #expect(relay.n == 1)
        relay.run(seconds: 10)
        #expect(relay.n > 1)
    }

    @Test("Under the reserve N takes its greatest value and returns to the former one")
    func reserve() {
        let limits = SimulatedRelay.limits
        var governor = Governor(limits: limits)
        let bytes = UInt64(drainRate * 0.02)
        func turn(occupied: UInt64, ingress: UInt64) {
            governor.turn(
                Reading(seconds: 0.02, ingressBytes: ingress, drainedBytes: bytes, occupiedBytes: occupied))
        }
        for _ in 0..<500 { turn(occupied: limits.low + 1, ingress: 3 * bytes) }
        for _ in 0..<100 { turn(occupied: limits.high, ingress: 3 * bytes) }
        let former = governor.n
        #expect(former > 1 && former < Governor.most)
        turn(occupied: limits.capacity - limits.reserve + 1, ingress: 3 * bytes)
        #expect(governor.n == Governor.most)
        #expect(governor.state == .reserve)
        // One byte more or less at the border does not toggle it.
        turn(occupied: limits.capacity - limits.reserve, ingress: 3 * bytes)
        #expect(governor.n == Governor.most)
        turn(occupied: limits.low, ingress: 3 * bytes)
        #expect(governor.n == former)
    }

    @Test("Whatever it is told, N stays within its bounds")
    func nonsense() {
        var random = Numbers(seed: 3)
        for _ in 0..<200 {
            var governor = Governor(limits: PoolLimits(capacity: random.next() % (1 << 40)))
            for _ in 0..<200 {
                var reading = random.reading()
                reading.occupiedBytes = random.next() >> (random.next() % 64)
                reading.ingressBytes = random.next() >> (random.next() % 64)
                reading.drainedBytes = random.next() >> (random.next() % 64)
                reading.spilledBytes = random.next() >> (random.next() % 64)
                reading.seconds = random.next() % 2 == 0 ? 1e-9 : 3600
                governor.turn(reading)
                #expect(1...Governor.most ~= governor.n)
            }
        }
    }
}
