import Admission
import Testing

@Suite("Where sweep and governor begin")
struct WatermarkTests {
    @Test("Whatever the number of segments, the governor comes to its mark no later than the sweep")
    func order() {
        for occupiable in 1...500 {
            let marks = Watermarks(occupiable: occupiable, spare: 4, segmentBytes: 2 << 20)
            let segment = UInt64(2 << 20)
            #expect(marks.sweepTo <= marks.sweepAbove && marks.sweepAbove < occupiable)
            #expect(marks.limits.high <= UInt64(marks.sweepAbove) * segment)
            // An empty memory is below the low mark, or N would never fall.
            #expect(marks.limits.low > 0)
            #expect(marks.limits.capacity == UInt64(occupiable + 4) * segment)
            #expect(marks.limits.reserve < segment * UInt64(occupiable + 4) / 4)
        }
    }

    @Test("A relay whose sweep leaves only what may stay still learns that too much comes", arguments: 1...40)
    func fewSegments(_ occupiable: Int) {
        let (segment, drain) = (2 << 20, 2_000_000.0)
        let marks = Watermarks(occupiable: occupiable, spare: 4, segmentBytes: segment)
        var governor = Governor(limits: marks.limits)
        // Five times the drain, in memory that fills and is then kept at the mark by the sweep.
        var occupied = 0.0
        for _ in 0..<1000 {
            occupied += 4 * drain * 0.015
            let segments = min(Int(occupied) / segment, marks.sweepAbove)
            governor.turn(
                Reading(
                    seconds: 0.015, ingressBytes: UInt64(5 * drain * 0.015), drainedBytes: UInt64(drain * 0.015),
                    occupiedBytes: UInt64(segments * segment)))
        }
        #expect((6...12).contains(governor.n))
    }
}
