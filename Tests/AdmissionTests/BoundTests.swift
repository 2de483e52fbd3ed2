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
        #expect(relay.governor.drainRate > 0.8 * drainRate)
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

    @Test("A full disk that takes a little whenever a file has expired does not make N swing")
    func fullDisk() {
        // Nothing for nine tenths of each second.
        var relay = SimulatedRelay(
            offered: { _ in 5 * drainRate }, drain: { _ in drainRate },
            disk: { $0 < 30 ? 400e6 : Int($0 * 10) % 10 == 0 ? 10e6 : 0 })
        relay.run(seconds: 32)
        let before = relay.governor.changes
        relay.run(seconds: 60)
        #expect(relay.n == 1 && relay.governor.changes - before <= 4)
    }

    @Test("What only a slower destination is owed is no reason to divert, and none to go on with it")
    func slowerDestination() {
        let limits = SimulatedRelay.limits
        let bytes = UInt64(drainRate * 0.02)
        /// What N is after memory has been nearly full for so long of what is owed to others, or to the fastest as well.
        func n(_ governor: inout Governor, backlog: UInt64, ingress: UInt64, turns: Int) -> UInt32 {
            for _ in 0..<turns {
                governor.turn(
                    Reading(
                        seconds: 0.02, ingressBytes: ingress, drainedBytes: bytes,
                        occupiedBytes: limits.high + limits.reserve / 2, backlogBytes: backlog))
            }
            return governor.n
        }
        var governor = Governor(limits: limits)
        #expect(n(&governor, backlog: 0, ingress: bytes, turns: 1000) == 1)
        #expect(n(&governor, backlog: limits.high, ingress: bytes, turns: 100) > 1)
        #expect(n(&governor, backlog: 0, ingress: bytes / 2, turns: 500) == 1)
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
        for free in [limits.reserve, 2 * limits.reserve - 1] {
            turn(occupied: limits.capacity - free, ingress: 3 * bytes)
            #expect(governor.n == Governor.most)
        }
        turn(occupied: limits.low, ingress: 3 * bytes)
        #expect(governor.n == former)
        // What is still free, but filled before a decision takes effect, is no more free.
        turn(occupied: limits.capacity - 2 * limits.reserve, ingress: 3 * bytes)
        #expect(governor.n == former)
        for _ in 0..<100 { turn(occupied: limits.low, ingress: 20 * limits.reserve / 50) }
        turn(occupied: limits.capacity - 3 * limits.reserve / 2, ingress: 20 * limits.reserve / 50)
        #expect(governor.n == Governor.most)
    }

    @Test("N falls only while the backlog is below the low watermark, and by half at most")
    func falls() {
        let limits = SimulatedRelay.limits
        var governor = Governor(limits: limits)
        let bytes = UInt64(drainRate * 0.02)
        func turn(backlog: UInt64, ingress: UInt64, _ turns: Int) {
            for _ in 0..<turns {
                let before = governor.n
                governor.turn(
                    Reading(seconds: 0.02, ingressBytes: ingress, drainedBytes: bytes, occupiedBytes: backlog))
                #expect(governor.n >= before / 2)
            }
        }
        turn(backlog: limits.low, ingress: bytes, 100)
        turn(backlog: limits.low + 1, ingress: 30 * bytes, 100)
        let before = governor.n
        #expect(before > 30)
        turn(backlog: limits.low, ingress: 2 * bytes, 500)
        #expect(governor.n == before)
        turn(backlog: limits.low - 1, ingress: 2 * bytes, 500)
        #expect((2...4).contains(governor.n))
    }

    @Test("Of two loads that are the same now, the one that grows is diverted earlier")
    func acceleration() {
        let limits = SimulatedRelay.limits
        let bytes = drainRate * 0.02
        func n(_ ingress: (Double) -> Double) -> UInt32 {
            var governor = Governor(limits: limits)
            // Four seconds, at the end of which 20 MB/s come in by the fast average in both.
            for step in 0..<200 {
                governor.turn(
                    Reading(
                        seconds: 0.02, ingressBytes: UInt64(ingress(Double(step) * 0.02) * bytes),
                        drainedBytes: UInt64(bytes), occupiedBytes: 0))
            }
            #expect(abs(governor.ingressRate - 2 * drainRate) < 0.1 * drainRate)
            governor.turn(
                Reading(
                    seconds: 0.02, ingressBytes: UInt64(2 * bytes), drainedBytes: UInt64(bytes),
                    occupiedBytes: limits.high - 5_600_000))
            return governor.n
        }
        #expect(n { _ in 2 } == 1)
        #expect(n { max(0, ($0 - 2.75) * 2) } > 1)
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
