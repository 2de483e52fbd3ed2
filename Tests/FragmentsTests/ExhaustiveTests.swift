@_spi(Testing) import Fragments
import Testing

/// Every list over a small domain, and every range: nothing is left out.
struct ExhaustiveTests {
    static let domain = 8
    static let patterns = 0..<(1 << domain)
    static let ranges = (0...domain).flatMap { lower in (lower...domain).map { lower..<$0 } }

    @Test func insertAndErase() throws {
        for pattern in Self.patterns {
            let bits = Bits(count: Self.domain, pattern: pattern)
            let list = try RangeList<UInt8>(bits, limit: UInt8(Self.domain))
            for range in Self.ranges {
                for isInsertion in [true, false] {
                    var (changed, expected) = (list, bits)
                    let gained = expected.set(range, isInsertion)
                    let got =
                        try isInsertion ? changed.insert(range.of(UInt8.self)) : changed.erase(range.of(UInt8.self))
                    #expect(got == UInt8(gained), "\(list) \(range)")
                    #expect(changed.ranges == expected.runs, "\(list) \(range)")
                    #expect(changed.violation() == nil)
                }
            }
            #expect(list.ranges == bits.runs, "a copy was changed")
        }
    }

    @Test func queriesByRange() throws {
        for pattern in Self.patterns {
            let bits = Bits(count: Self.domain, pattern: pattern)
            let list = try RangeList<UInt8>(bits, limit: UInt8(Self.domain))
            let runs = bits.runs
            for range in Self.ranges {
                let asked = range.of(UInt8.self)
                #expect(list.contains(asked) == range.allSatisfy { bits.flags[$0] })
                #expect(list.overlaps(asked) == range.contains { bits.flags[$0] })
                #expect(list.overlappingSum(asked) == UInt8(bits.count(range)))
                let overlapping = runs.filter { $0.overlaps(range) }
                #expect(
                    list[list.indices(overlapping: asked)].map { $0.range } == overlapping.map { $0.of(UInt8.self) })
                #expect(list.fragments(overlapping: asked).map { $0.range } == overlapping.map { $0.of(UInt8.self) })
                let touching = runs.filter { $0.lowerBound <= range.upperBound && range.lowerBound <= $0.upperBound }
                #expect(list[list.indices(touching: asked)].map { $0.range } == touching.map { $0.of(UInt8.self) })
                var gaps = bits.complement
                for position in 0..<Self.domain where !range.contains(position) { gaps.flags[position] = false }
                #expect(Array(list.gaps(in: asked)) == gaps.runs.map { $0.of(UInt8.self) })
                var extracted = list
                #expect(try extracted.extract(asked).ranges == bits.restricted(to: range).runs)
                #expect(extracted.ranges == bits.combined(bits.restricted(to: range)) { $0 && !$1 }.runs)
            }
        }
    }

    @Test func queriesByPosition() throws {
        for pattern in Self.patterns {
            let bits = Bits(count: Self.domain, pattern: pattern)
            let list = try RangeList<UInt8>(bits, limit: UInt8(Self.domain))
            let runs = bits.runs
            for position in 0...Self.domain {
                let asked = UInt8(position)
                let holder = runs.firstIndex { $0.contains(position) }
                #expect(list.contains(asked) == (holder != nil))
                #expect(list.index(containing: asked) == holder)
                #expect(list.fragment(containing: asked)?.range == holder.map { runs[$0].of(UInt8.self) })
                #expect(list.lowerBound(asked) == runs.firstIndex { $0.upperBound > position } ?? runs.count)
                #expect(list.upperBound(asked) == runs.firstIndex { $0.lowerBound >= position } ?? runs.count)
            }
            let covered = bits.flags.indices.filter { bits.flags[$0] }
            #expect(covered.indices.map { Int(list.position(atCoveredOffset: UInt8($0))) } == covered)
            #expect(list.lengthSum == UInt8(covered.count))
            #expect(list.missing == UInt8(Self.domain - covered.count))
            #expect(list.isComplete == (covered.count == Self.domain))
            let longest = runs.map { $0.count }.max()
            #expect(list.largestLength == UInt8(longest ?? 0))
            #expect(list.largest?.range == runs.first { $0.count == longest }?.of(UInt8.self))
            #expect(list.complement().ranges == bits.complement.runs)
            #expect(list.gaps.map { Int($0.lowerBound)..<Int($0.upperBound) } == bits.complement.runs)
            #expect(list.reversed().map { $0.range } == runs.reversed().map { $0.of(UInt8.self) })
            #expect(list.indices.map { list[$0].range } == runs.map { $0.of(UInt8.self) })
            #expect(list.first?.range == runs.first?.of(UInt8.self))
            #expect(list.last?.range == runs.last?.of(UInt8.self))
            #expect(list.end == UInt8(runs.last?.upperBound ?? 0))
        }
    }

    @Test func setAlgebra() throws {
        let domain = 6
        let all = try (0..<(1 << domain)).map { pattern in
            let bits = Bits(count: domain, pattern: pattern)
            return (bits, try RangeList<UInt8>(bits, limit: UInt8(domain)))
        }
        for (a, left) in all {
            for (b, right) in all {
                #expect(left.union(right).ranges == a.combined(b) { $0 || $1 }.runs)
                #expect(left.intersection(right).ranges == a.combined(b) { $0 && $1 }.runs)
                #expect(left.subtracting(right).ranges == a.combined(b) { $0 && !$1 }.runs)
                #expect(left.symmetricDifference(right).ranges == a.combined(b) { $0 != $1 }.runs)
                let (both, onlyA, onlyB) = (
                    a.combined(b) { $0 && $1 }.runs.isEmpty, a.combined(b) { $0 && !$1 }.runs.isEmpty,
                    a.combined(b) { !$0 && $1 }.runs.isEmpty
                )
                #expect(left.isDisjoint(with: right) == both)
                #expect(left.overlaps(right) == !both)
                #expect(left.isSubset(of: right) == onlyA)
                #expect(left.isSuperset(of: right) == onlyB)
                #expect(left.isStrictSubset(of: right) == (onlyA && !onlyB))
                #expect(left.isStrictSuperset(of: right) == (onlyB && !onlyA))
                #expect((left == right) == (a == b))
                #expect(left.coversSamePositions(as: right) == (a == b))
                var formed = left
                try formed.formUnion(right)
                #expect(formed == left.union(right) && formed.limit == left.limit)
                formed = left
                try formed.formSymmetricDifference(right)
                #expect(formed == left.symmetricDifference(right))
                formed = left
                formed.formIntersection(right)
                #expect(formed == left.intersection(right))
                formed = left
                formed.subtract(right)
                #expect(formed == left.subtracting(right))
            }
        }
    }

    /// Every range that ends or begins at an edge of the integer type.
    @Test func wholeRangeOfTheInteger() throws {
        for pattern in 0..<(1 << 6) {
            var bits = Bits(count: 255)
            for k in 0..<6 where pattern >> k & 1 == 1 {
                _ = bits.set([0..<1, 1..<5, 5..<250, 250..<254, 254..<255, 100..<101][k], true)
            }
            let list = try RangeList<UInt8>(bits, limit: .max)
            #expect(list.complement().ranges == bits.complement.runs)
            #expect(list.union(list.complement()).ranges == (bits.flags.isEmpty ? [] : [0..<255]))
            for range in [0..<0, 0..<1, 0..<255, 1..<255, 254..<255, 253..<254, 255..<255, 3..<252] {
                var (inserted, erased) = (list, list)
                var (set, cleared) = (bits, bits)
                #expect(try inserted.insert(range.of(UInt8.self)) == UInt8(set.set(range, true)))
                #expect(try erased.erase(range.of(UInt8.self)) == UInt8(cleared.set(range, false)))
                #expect(inserted.ranges == set.runs && inserted.violation() == nil)
                #expect(erased.ranges == cleared.runs && erased.violation() == nil)
                #expect(list.overlappingSum(range.of(UInt8.self)) == UInt8(bits.count(range)))
                #expect(list.contains(range.of(UInt8.self)) == (bits.count(range) == range.count))
                #expect(
                    list.indices(touching: range.of(UInt8.self)).count
                        == bits.runs.count { $0.lowerBound <= range.upperBound && range.lowerBound <= $0.upperBound })
            }
        }
    }
}

extension Bits {
    func restricted(to range: Range<Int>) -> Bits {
        var result = self
        for position in flags.indices where !range.contains(position) { result.flags[position] = false }
        return result
    }
}
