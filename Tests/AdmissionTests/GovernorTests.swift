import Admission
import Testing

@Suite("The governor, in a relay with a virtual clock")
struct GovernorTests {
    static let loads = [0.3, 0.6, 0.9, 1.0, 1.05, 1.3, 1.5, 1.9, 2.0, 2.1, 3.3, 5, 8, 13, 20, 35]

    @Test("A load the destination can take is never diverted", arguments: [0.1, 0.5, 0.8, 0.9])
    func lightLoad(_ load: Double) {
        var relay = SimulatedRelay(offered: { _ in load * drainRate }, drain: { _ in drainRate })
        relay.run(seconds: 120)
        #expect(relay.governor.greatest == 1)
        #expect(relay.governor.state == .open)
    }

    @Test("A burst that memory can hold is not diverted")
    func shortBurst() {
        // 0.8 seconds at 4 times the drain are 24 MB more than it takes, and memory has 44 MB below the high watermark.
        var relay = SimulatedRelay(
            offered: { 20 < $0 && $0 < 20.8 ? 4 * drainRate : 0.2 * drainRate }, drain: { _ in drainRate })
        relay.run(seconds: 60)
        #expect(relay.governor.greatest == 1)
        #expect(relay.dropped == 0)
    }

    @Test("Under a constant load N settles: at most 4 changes a minute", arguments: loads, [true, false])
    func settles(_ load: Double, _ replays: Bool) {
        var relay = SimulatedRelay(
            offered: { _ in load * drainRate }, drain: { _ in drainRate }, replays: replays)
        relay.run(seconds: 320)
        #expect(mostChangesPerMinute(Array(relay.history.dropFirst(1000))) <= 4)
        #expect(relay.dropped == 0)
    }

    @Test("So it does under a load and a drain that jitter", arguments: loads)
    func settlesWithNoise(_ load: Double) {
        var random = Numbers(seed: UInt64(load * 100))
        let jitter = (0..<16_000).map { _ in 0.5 + random.unit() }
        // A socket takes bursts: 60 ms of everything, 60 ms of nothing.
        var relay = SimulatedRelay(
            offered: { load * drainRate * jitter[Int($0 / SimulatedRelay.step) % jitter.count] },
            drain: { Int($0 / 0.06) % 2 == 0 ? 2 * drainRate : 0 })
        relay.run(seconds: 320)
        #expect(mostChangesPerMinute(Array(relay.history.dropFirst(1000))) <= 4)
        #expect(relay.dropped == 0)
    }

    @Test("The settled N is no less for a greater load, and keeps the live lane fed")
    func monotoneWhenSettled() {
        var before: UInt32 = 0
        for load in Self.loads {
            var relay = SimulatedRelay(offered: { _ in load * drainRate }, drain: { _ in drainRate })
            relay.run(seconds: 120)
            #expect(relay.n >= before, "load \(load)")
            before = relay.n
            guard load > 1 else { continue }
            let (admitted, delivered) = (relay.admitted, relay.deliveredLive)
            relay.run(seconds: 60)
            #expect((relay.admitted - admitted) / 60 >= 0.4 * drainRate, "load \(load)")
            #expect((relay.deliveredLive - delivered) / 60 >= 0.4 * drainRate, "load \(load)")
            // Neither does more come than goes: the live lane does not fall behind.
            #expect(relay.admitted - admitted <= 1.01 * 60 * drainRate || relay.n == 1, "load \(load)")
        }
    }

    @Test("From any one state more ingress never gives a smaller N")
    func monotoneInOneTurn() {
        var random = Numbers(seed: 7)
        for _ in 0..<2000 {
            var governor = Governor(limits: SimulatedRelay.limits)
            for _ in 0..<200 { governor.turn(random.reading()) }
            var reading = random.reading()
            var before: UInt32 = 0
            for rate in stride(from: 0.0, through: 30, by: 0.5) {
                reading.ingressBytes = UInt64(rate * drainRate * reading.seconds)
                var next = governor
                next.turn(reading)
                #expect(next.n >= before)
                before = next.n
            }
        }
    }

    @Test("Ten seconds after the load has ended N is 1", arguments: [2.5, 5, 20], [true, false])
    func recovers(_ load: Double, _ replays: Bool) {
        var relay = SimulatedRelay(
            offered: { $0 < 60 ? load * drainRate : 0.1 * drainRate }, drain: { _ in drainRate }, replays: replays)
        relay.run(seconds: 60)
        #expect(relay.n > 1)
        relay.run(seconds: 10)
        #expect(relay.n == 1)
        relay.run(seconds: 60)
        #expect(relay.n == 1)
    }

    @Test("Under a ramp N rises before memory has reached the high watermark")
    func anticipates() {
        var relay = SimulatedRelay(offered: { min($0, 40) * 0.25 * drainRate }, drain: { _ in drainRate })
        while relay.governor.n == 1, relay.time < 60 { relay.run(seconds: 0.02) }
        #expect(relay.governor.n > 1)
        #expect(relay.greatestOccupied < Double(SimulatedRelay.limits.high))
        relay.run(seconds: 60)
        #expect(relay.greatestOccupied < Double(SimulatedRelay.limits.capacity - SimulatedRelay.limits.reserve))
        #expect(relay.dropped == 0)
    }

    @Test("What goes out while there is no more to send shows what the receiver takes at least")
    func lowerBound() {
        // Five times the drain, and then less than the receiver, which takes everything now.
        var relay = SimulatedRelay(
            offered: { $0 < 20 ? 5 * drainRate : 3 * drainRate }, drain: { $0 < 20 ? drainRate : 100 * drainRate })
        relay.run(seconds: 20)
        #expect(relay.n > 1)
        relay.run(seconds: 10)
        #expect(relay.n == 1)
        #expect(relay.governor.drainRate >= 2.9 * drainRate)
    }

    @Test("A receiver that becomes faster is found out, with replay and without", arguments: [true, false])
    func fasterReceiver(_ replays: Bool) {
        var relay = SimulatedRelay(
            offered: { _ in 3 * drainRate }, drain: { $0 < 60 ? drainRate : 6 * drainRate }, replays: replays)
        relay.run(seconds: 60)
        #expect(relay.n >= 3)
        relay.run(seconds: replays ? 30 : 300)
        #expect(relay.n == 1)
    }

    @Test("Quiet minutes, in which everybody has everything, make nobody blind for the overload after it")
    func quietMinutes() {
        var relay = SimulatedRelay(
            offered: { 20..<620 ~= $0 ? 0.5 * drainRate : 5 * drainRate }, drain: { _ in drainRate })
        relay.run(seconds: 20)
        #expect(relay.n > 1)
        relay.run(seconds: 600)
        #expect(relay.n == 1 && relay.governor.drainRate < 1.3 * drainRate)
        relay.run(seconds: 10)
        #expect(relay.n >= 4 && relay.dropped == 0)
    }

    @Test("Of several sockets that take bursts in turns of their own the rate is that of the fastest one")
    func fastest() {
        /// Bytes per second that are counted for sockets with these speeds, in bursts of 16 KiB.
        func rate(_ speeds: [Double]) -> Double {
            var fastest = Fastest(count: speeds.count)
            var (counted, owed) = (0.0, speeds.indices.map { Double($0) * 3000 })
            for turn in 0..<8000 {
                for (place, speed) in speeds.enumerated() {
                    owed[place] += speed * 0.015
                    let bursts = (owed[place] / 16384).rounded(.down)
                    owed[place] -= bursts * 16384
                    fastest.add(bytes: UInt64(bursts) * 16384, of: place, seconds: 0.015)
                }
                let taken = fastest.take()
                // Until the speeds are known.
                if turn >= 1000 { counted += Double(taken) }
            }
            return counted / (7000 * 0.015)
        }
        #expect(0.95...1.05 ~= rate([2e6, 2e6, 2e6, 2e6, 2e6]) / 2e6)
        #expect(0.85...1.1 ~= rate([0.2e6, 0.21e6, 0.19e6, 0.2e6]) / 0.21e6)
        #expect(0.9...1.1 ~= rate([1e6, 4e6, 2e6]) / 4e6)
    }
}
