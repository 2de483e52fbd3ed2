@_spi(Testing) import Fragments
import Testing

/// Appending many ranges at once gives what single insertions give, and changes nothing when it fails.
struct AppendTests {
    /// What may follow a range. Ranges that are all apart are stored in another way than the rest.
    enum Gaps: CaseIterable { case apart, touching, withEmptyOnes }

    func ranges(_ count: Int, _ gaps: Gaps, from start: UInt64, _ generator: inout SeededGenerator) -> [Range<UInt64>] {
        var end = start
        return (0..<count).map { index in
            let isFirst = index == 0 && start == 0
            let gap = UInt64.random(in: (gaps == .apart && !isFirst ? 1 : 0)...3, using: &generator)
            let lower = isFirst ? 0 : end + gap
            end = lower + UInt64.random(in: (gaps == .withEmptyOnes ? 0 : 1)...9, using: &generator)
            return lower..<end
        }
    }

    @Test(arguments: Gaps.allCases, [0, 1, 7, 8, 9, 63, 64, 65, 200, 5000])
    func likeSingleInsertions(_ gaps: Gaps, _ count: Int) throws {
        var generator = SeededGenerator("append \(gaps) \(count)")
        // The second part goes behind a leaf that is empty, small, nearly full, full, or the last of several.
        for present in [0, 1, 5, 8, 40, 63, 64, 65, 300, 4096] {
            let old = ranges(present, .apart, from: 0, &generator)
            let new = ranges(count, gaps, from: old.last?.upperBound ?? 0, &generator)
            var (single, together) = (RangeList<UInt64>(), RangeList<UInt64>())
            for range in old + new { try single.insert(range) }
            try together.append(contentsOf: old)
            let copy = together
            try together.append(contentsOf: new)
            #expect(together.violation() == nil)
            #expect(together == single && together.end == single.end)
            #expect(together.lengthSum == (old + new).reduce(0) { $0 + UInt64($1.count) })
            #expect(together.largest?.length == together.lazy.map(\.length).max())
            #expect(copy.violation() == nil && Array(copy.map(\.range)) == old)
        }
    }

    @Test(arguments: [1, 64, 300]) func failuresChangeNothing(_ count: Int) throws {
        var generator = SeededGenerator("append failures \(count)")
        let old = ranges(count, .apart, from: 0, &generator)
        let end = try #require(old.last).upperBound
        var list = RangeList<UInt64>(limit: end + 100)
        try list.append(contentsOf: old)
        let bad: [(ranges: [Range<UInt64>], error: FragmentError<UInt64>)] = [
            ([end - 1..<end + 4], .outOfOrder(lowerBound: end - 1, end: end)),
            ([end + 1..<end + 4, end + 3..<end + 9], .outOfOrder(lowerBound: end + 3, end: end + 4)),
            ([end..<end, end + 5..<end + 6, 0..<1], .outOfOrder(lowerBound: 0, end: end + 6)),
            ([end + 1..<end + 4, end + 99..<end + 101], .exceedsLimit(upperBound: end + 101, limit: end + 100)),
        ]
        for (ranges, error) in bad {
            #expect(throws: error) { try list.append(contentsOf: ranges) }
            #expect(list.map(\.range) == old && list.violation() == nil)
        }
    }
}
