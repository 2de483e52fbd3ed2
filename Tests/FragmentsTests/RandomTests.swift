@_spi(Testing) import Fragments
import Testing

/// Long random histories over large domains, so that trees of several levels grow and shrink.
struct RandomTests {
    struct Shape: CustomTestStringConvertible, Sendable {
        var domain: Int
        var length: Int
        var steps: Int
        var testDescription: String { "\(domain) positions, ranges up to \(length)" }
    }

    static let shapes = [
        Shape(domain: 255, length: 20, steps: 8000),
        Shape(domain: 5_000, length: 4, steps: 20_000),
        Shape(domain: 60_000, length: 2, steps: 80_000),
        Shape(domain: 60_000, length: 40, steps: 20_000),
    ]

    @Test(arguments: shapes) func history(_ shape: Shape) throws {
        var generator = SeededGenerator("history \(shape.testDescription)")
        // Each integer type once or twice, the widest and the narrowest among them.
        if shape.domain == 255 { try history(shape, UInt8.self, &generator) }
        if shape.domain == 5_000 { try history(shape, UInt128.self, &generator) }
        if shape.length == 40 { try history(shape, UInt16.self, &generator) }
        if shape.length == 2 { try history(shape, UInt64.self, &generator) }
    }

    /// Grows and shrinks in turn; every result is compared at once, the whole list from time to time.
    func history<Bound: FragmentBound>(
        _ shape: Shape, _ type: Bound.Type, _ generator: inout SeededGenerator
    ) throws {
        var list = RangeList<Bound>(limit: Bound(shape.domain))
        var bits = Bits(count: shape.domain)
        var greatest = 0
        var copies: [(list: RangeList<Bound>, runs: [Range<Int>])] = []
        for step in 0..<shape.steps {
            let isGrowing = (step * 6 / shape.steps) % 2 == 0
            let isInsertion = Int.random(in: 0..<10, using: &generator) < (isGrowing ? 9 : 1)
            let isLong = Int.random(in: 0..<2000, using: &generator) == 0
            let range = generator.range(in: shape.domain, length: isLong ? shape.domain / 8 : shape.length)
            let expected = Bound(bits.set(range, isInsertion))
            let got = try isInsertion ? list.insert(range.of(Bound.self)) : list.erase(range.of(Bound.self))
            try #require(got == expected, "step \(step): \(range)")
            greatest = max(greatest, list.count)
            if step % (shape.steps / 40) == 0 {
                try compare(list, bits, &generator, shape)
                copies.append((list, bits.runs))
            }
        }
        if shape.domain == 60_000, shape.length == 2 { #expect(greatest > 64 * 64, "the tree was too low") }
        for copy in copies { #expect(copy.list.ranges == copy.runs, "a copy was changed") }
    }

    func compare<Bound: FragmentBound>(
        _ list: RangeList<Bound>, _ bits: Bits, _ generator: inout SeededGenerator, _ shape: Shape
    ) throws {
        try #require(list.violation() == nil)
        let runs = bits.runs
        try #require(list.ranges == runs)
        let longest = runs.map { $0.count }.max()
        #expect(list.largest?.range == runs.first { $0.count == longest }?.of(Bound.self))
        #expect(list.reversed().map { Int($0.lowerBound) } == runs.reversed().map { $0.lowerBound })
        #expect(list.complement().ranges == bits.complement.runs)
        for _ in 0..<50 {
            let range = generator.range(in: shape.domain, length: shape.domain)
            #expect(list.overlappingSum(range.of(Bound.self)) == Bound(bits.count(range)))
            let position = range.lowerBound
            #expect(list.lowerBound(Bound(position)) == runs.firstIndex { $0.upperBound > position } ?? runs.count)
            #expect(list.contains(Bound(position)) == runs.contains { $0.contains(position) })
            if let rank = runs.indices.randomElement(using: &generator) {
                #expect(list[rank].range == runs[rank].of(Bound.self))
            }
            if let random = list.randomPosition(using: &generator) { #expect(bits.flags[Int(random)]) }
            if let random = list.randomElementByLength(using: &generator) { #expect(list.contains(random)) }
        }
    }

    @Test func setAlgebraOfLargeLists() throws {
        var generator = SeededGenerator("set algebra")
        for (countA, countB) in [(20_000, 20_000), (20_000, 300), (300, 20_000), (20_000, 0), (5, 20_000)] {
            var (a, b) = (Bits(count: 100_000), Bits(count: 100_000))
            for _ in 0..<countA { _ = a.set(generator.range(in: 100_000, length: 4), true) }
            for _ in 0..<countB { _ = b.set(generator.range(in: 100_000, length: 4), true) }
            let (left, right) = (try RangeList<UInt32>(a, limit: 100_000), try RangeList<UInt32>(b, limit: 100_000))
            var formed = [left, left, left, left]
            try formed[0].formUnion(right)
            formed[1].formIntersection(right)
            formed[2].subtract(right)
            try formed[3].formSymmetricDifference(right)
            let pure = [
                left.union(right), left.intersection(right), left.subtracting(right), left.symmetricDifference(right),
            ]
            let expected = [
                a.combined(b) { $0 || $1 }, a.combined(b) { $0 && $1 }, a.combined(b) { $0 && !$1 },
                a.combined(b) { $0 != $1 },
            ]
            for k in 0..<4 {
                #expect(pure[k].ranges == expected[k].runs && pure[k].violation() == nil)
                #expect(formed[k].ranges == expected[k].runs && formed[k].violation() == nil)
            }
            #expect(left.isDisjoint(with: right) == expected[1].runs.isEmpty)
            #expect(right.isDisjoint(with: left) == expected[1].runs.isEmpty)
        }
    }

    /// Bulk building gives what single insertions give, for spread, crowded, sorted and reversed ranges.
    @Test func bulk() throws {
        var generator = SeededGenerator("bulk")
        for count in [0, 1, 2, 20, 30, 1000, 30_000] {
            let spread = (0..<count).map { _ in generator.range(in: 60_000, length: 3).of(UInt64.self) }
            let crowded = spread.map { range in
                let shift = UInt64.random(in: 0..<5, using: &generator) == 0 ? UInt64(1) << 60 : 0
                return (range.lowerBound / 64 + shift)..<(range.upperBound / 64 + 1 + shift)
            }
            let sorted = spread.sorted { $0.lowerBound < $1.lowerBound }
            for ranges in [spread, crowded, sorted, sorted.reversed()] {
                var single = RangeList<UInt64>()
                for range in ranges { try single.insert(range) }
                let built = try RangeList<UInt64>(ranges)
                #expect(built == single && built.violation() == nil)
                var added = try RangeList<UInt64>(ranges.prefix(count / 3))
                let before = added.lengthSum
                let gained = try added.insert(contentsOf: ranges.suffix(from: count / 3))
                #expect(added == single && added.violation() == nil)
                #expect(gained == single.lengthSum - before)
                #expect(RangeList(RangeSet(ranges)) == single)
            }
        }
    }

    /// Streams that fill their own parts, each with a hint, and hints that are taken elsewhere.
    @Test func hints() throws {
        var generator = SeededGenerator("hints")
        var (list, other) = (RangeList<UInt64>(limit: 60_000), RangeList<UInt64>(limit: 60_000))
        var bits = Bits(count: 60_000)
        var hints = [InsertionHint<UInt64, NoPayload>](repeating: InsertionHint(), count: 6)
        var positions = (0..<6).map { $0 * 10_000 }
        for step in 0..<30_000 {
            let stream = Int.random(in: 0..<6, using: &generator)
            if step % 500 == 499 { positions[stream] = Int.random(in: 0..<50_000, using: &generator) }
            let lower = positions[stream] + Int.random(in: 0..<3, using: &generator)
            let range = min(lower, 60_000)..<min(lower + 2, 60_000)
            positions[stream] = range.upperBound
            let expected = UInt64(bits.set(range, true))
            #expect(try list.insert(range.of(UInt64.self), hint: &hints[stream]) == expected)
            if step % 10 == 0 { try other.insert(range.of(UInt64.self), hint: &hints[(stream + 1) % 6]) }
            if step % 50 == 0 {
                let hole = generator.range(in: 60_000, length: 30)
                #expect(try list.erase(hole.of(UInt64.self)) == UInt64(bits.set(hole, false)))
            }
            if step % 3000 == 0 {
                #expect(list.violation() == nil && other.violation() == nil)
                #expect(list.ranges == bits.runs)
            }
        }
        #expect(list.ranges == bits.runs && list.violation() == nil && other.violation() == nil)
    }
}
