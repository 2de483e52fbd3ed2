import Admission
import Testing

/// A minute of load, and a destination beside it.
struct Shape: CustomTestStringConvertible, Sendable {
    var name: String
    /// Multiples of the drain rate, at a time.
    var offered: @Sendable (Double) -> Double
    /// When the destination is there.
    var isUp: @Sendable (Double) -> Bool = { _ in true }

    var testDescription: String { name }

    static let length = 60.0

    static let all: [Shape] = [
        Shape(name: "a step to five times the drain") { $0 < 10 ? 0.5 : 5 },
        Shape(name: "a step to twenty times the drain") { $0 < 10 ? 0 : 20 },
        Shape(name: "a ramp to ten times the drain") { $0 / 6 },
        Shape(name: "bursts of two seconds") { Int($0) % 10 < 2 ? 8 : 0.3 },
        Shape(name: "a saw-tooth of eight seconds") { $0.truncatingRemainder(dividingBy: 8) },
        Shape(name: "on for four seconds and off for four") { Int($0) % 8 < 4 ? 4 : 0 },
        Shape(name: "a destination that dies and returns") { _ in
            3
        } isUp: {
            !(20..<40 ~= $0)
        },
        Shape(name: "a destination that comes and goes, under bursts") {
            Int($0) % 7 < 3 ? 6 : 0.5
        } isUp: {
            Int($0) % 15 < 10
        },
    ]

    /// A relay under it, and then under nearly nothing.
    func relay(fixed: UInt32? = nil, sweeps: Bool = true) -> SimulatedRelay {
        SimulatedRelay(
            offered: { ($0 < Self.length ? offered($0) : 0.1) * drainRate },
            drain: { $0 >= Self.length || isUp($0) ? drainRate : 0 }, fixed: fixed, sweeps: sweeps)
    }
}

@Suite("Loads of every shape")
struct ShapeTests {
    @Test("Memory never fills, and ten seconds after the end N is 1 and stays 1", arguments: Shape.all)
    func ends(_ shape: Shape) {
        var relay = shape.relay()
        relay.run(seconds: Shape.length)
        #expect(relay.governor.greatest > 1)
        relay.run(seconds: 10)
        #expect(relay.n == 1)
        let settled = relay.governor.changes
        relay.run(seconds: 60)
        #expect(relay.n == 1 && relay.governor.changes == settled)
        #expect(relay.dropped == 0)
    }

    @Test("Without any sweep N alone keeps memory from filling while the destination is there", arguments: Shape.all)
    func withoutSweep(_ shape: Shape) {
        let always = Shape(name: shape.name, offered: shape.offered)
        var relay = always.relay(sweeps: false)
        relay.run(seconds: Shape.length)
        #expect(relay.dropped == 0, "\(relay.greatestOccupied / Double(SimulatedRelay.limits.capacity))")
        // The same without the governor.
        var open = always.relay(fixed: 1, sweeps: false)
        open.run(seconds: Shape.length)
        #expect(open.dropped > 0)
    }

    @Test(
        "The live lane is never starved: of what the destination takes in overload it gets a part", arguments: Shape.all
    )
    func liveLane(_ shape: Shape) {
        var relay = shape.relay()
        while relay.time < Shape.length {
            let (start, admitted, delivered) = (relay.time, relay.admitted, relay.deliveredLive)
            // A second in which the load was too much all the time, and the destination there, and two seconds before.
            relay.run(seconds: 1)
            let steps = stride(from: max(0, start - 2), to: relay.time, by: 0.1)
            guard steps.allSatisfy({ shape.isUp($0) && shape.offered($0) > 1 }) else { continue }
            #expect(relay.admitted - admitted > 0.1 * drainRate, "at \(start) s, N \(relay.n)")
            #expect(relay.deliveredLive - delivered > 0.1 * drainRate, "at \(start) s, N \(relay.n)")
        }
    }
}
