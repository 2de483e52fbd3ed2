import Machine
import Pcapng
import SpillCache
import Testing

@testable import Collector

@Suite("What a collector writes down of itself, in memory")
struct StateTests {
    private static let runs = [
        RunIdentity(low: 0x1122_3344_5566_7788, high: 7), RunIdentity(low: 3, high: 0xffee_ddcc_bbaa_9988),
    ]

    private var content: SensorState.Content {
        var content = SensorState.Content()
        content.generation = 77
        for (place, run) in Self.runs.enumerated() {
            content.runs[run] = SensorState.RunClaim(destination: "d\(place)", presented: 1_700_000_000_000_000_000)
            for lane in 0..<3 {
                content.settled.insert(
                    BatchRange(BatchLane(run: run, worker: 1, lane: UInt16(lane)), first: UInt64(lane * 10), count: 5))
            }
        }
        return content
    }

    /// Every way to cut a text, and every bit of it flipped alone.
    private func damaged(_ bytes: [UInt8]) -> [[UInt8]] {
        (0..<bytes.count).map { Array(bytes[..<$0]) }
            + bytes.indices.flatMap { place in
                (0..<8).map { bit in
                    var copy = bytes
                    copy[place] ^= 1 << bit
                    return copy
                }
            }
    }

    @Test("A state cut at every offset, and with every bit flipped, is never taken for one")
    func state() throws {
        let bytes = StateFile.bytes(content)
        #expect(try StateFile.content(bytes).get() == content)
        for (number, copy) in damaged(bytes).enumerated() {
            if case .success = StateFile.content(copy) { Issue.record("copy \(number) was taken") }
        }
        if case .success = StateFile.content(bytes + [0]) { Issue.record("one byte more was taken") }
    }

    @Test("An intent cut at every offset, and with every bit flipped, is never taken for one")
    func intent() {
        let intent = SealIntent(
            linkType: 1, extent: 123_456, sensor: "s", target: "s-20260101T000000Z.pcapng",
            ranges: content.settled.ranges)
        #expect(SealIntent.read(intent.bytes) == intent)
        for (number, copy) in damaged(intent.bytes).enumerated() {
            #expect(SealIntent.read(copy) == nil, "copy \(number)")
        }
    }

    @Test(
        "A run that nobody presented for seven days is forgotten, with all its batches; others and those in use are kept"
    )
    func sevenDays() {
        let day: UInt64 = 86_400_000_000_000
        let now: UInt64 = 1_800_000_000_000_000_000
        #expect(CollectorLimit.runLifetime == 7 * day)
        let old = RunIdentity(low: 1, high: 1), fresh = RunIdentity(low: 2, high: 2),
            used = RunIdentity(low: 3, high: 3)
        var content = SensorState.Content()
        for (run, age) in [(old, 7 * day + 1), (fresh, 7 * day - 1), (used, 30 * day)] {
            content.runs[run] = SensorState.RunClaim(destination: "d", presented: now - age)
            content.settled.insert(BatchRange(BatchLane(run: run, worker: 0, lane: 0), first: 0, count: 9))
        }
        let sensor = Sensor(SensorState(name: "s", content))
        #expect(sensor.forgetRuns(before: now - CollectorLimit.runLifetime, keeping: [used]).count == 1)
        #expect(Set(sensor.claims.keys) == [fresh, used])
        #expect(Set(sensor.known.ranges.map(\.lane.run)) == [fresh, used])
        #expect(Set(sensor.state.present.runs.keys) == [fresh, used])
        #expect(Set(sensor.state.present.settled.ranges.map(\.lane.run)) == [fresh, used])
    }
}
