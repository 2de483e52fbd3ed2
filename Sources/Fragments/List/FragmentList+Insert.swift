extension FragmentList where Payload == NoPayload {
    /// Covers a range, and joins it with all it overlaps or touches.
    ///
    /// - Returns: the length that was not covered before. An empty range changes nothing.
    /// - Throws: `FragmentError.exceedsLimit`; the list is unchanged.
    /// - Complexity: O(log *n* + *k*), where *k* ranges become one; O(1) behind the last range.
    @inlinable @discardableResult
    public mutating func insert(_ range: Range<Bound>) throws(FragmentError<Bound>) -> Bound {
        try checkLimit(range.upperBound)
        if range.isEmpty { return 0 }
        return withUniqueTree { $0.cover(Extent(range.lowerBound, range.upperBound)) }
    }
}

extension FragmentList {
    /// Inserts a fragment. Where it overlaps or touches others, ``PayloadTraits/merge(_:with:into:)`` decides.
    ///
    /// - Returns: the length that was not covered before. An empty fragment changes nothing.
    /// - Throws: `FragmentError.exceedsLimit`, and `FragmentError.invalidMerge` when the payload's merge does
    ///   not cover what it must; the list is unchanged.
    /// - Complexity: O(log *n* + *k* log *n*), where the fragment overlaps or touches *k* others; O(log *n* + *k*)
    ///   when the payload always merges; O(1) behind the last fragment.
    @inlinable @discardableResult
    public mutating func insert(_ fragment: Fragment<Bound, Payload>) throws(FragmentError<Bound>) -> Bound {
        try checkLimit(fragment.upperBound)
        if fragment.isEmpty { return 0 }
        let extent = Extent(fragment.lowerBound, fragment.upperBound)
        if Payload.mergesAlways { return withUniqueTree { $0.cover(extent) } }
        if extent.lower > end {
            withUniqueTree { $0.append(extent, fragment.payload) }
            return extent.length
        }
        return try merge(fragment)
    }

    /// Inserts a fragment that is not behind all others.
    @inlinable mutating func merge(_ fragment: Fragment<Bound, Payload>) throws(FragmentError<Bound>) -> Bound {
        let extent = Extent(fragment.lowerBound, fragment.upperBound)
        let run = withTree { $0.run(touching: extent) }
        guard let first = run.first, let last = run.last else {
            withUniqueTree { $0.insertDisjoint(extent, fragment.payload) }
            return extent.length
        }
        var result = MergedRun<Bound, Payload>()
        Payload.merge(run, with: fragment, into: &result)
        let whole = Extent(Swift.min(first.lowerBound, extent.lower), Swift.max(last.upperBound, extent.upper))
        guard result.covers(whole) else {
            throw FragmentError.invalidMerge(lowerBound: whole.lower, upperBound: whole.upper)
        }
        let covered = run.reduce(0 as Bound) { $0 &+ $1.length }
        withUniqueTree { tree in
            tree.removeRanges(beginningFrom: first.lowerBound, through: last.lowerBound)
            for new in result.fragments {
                tree.insertDisjoint(Extent(new.lowerBound, new.upperBound), new.payload)
            }
        }
        return whole.length &- covered
    }

    /// Inserts a fragment, and tells which ranges it newly covers, in order.
    ///
    /// - Returns: the length that was not covered before.
    /// - Throws: as ``insert(_:)-(Fragment<Bound,Payload>)``; then nothing is told.
    /// - Complexity: as `insert`, plus O(*g*) for *g* gaps.
    @inlinable @discardableResult
    public mutating func insert(
        _ fragment: Fragment<Bound, Payload>, newlyCovered body: (Range<Bound>) -> Void
    ) throws(FragmentError<Bound>) -> Bound {
        let before = self
        let covered = try insert(fragment)
        if covered != 0 { for gap in before.gaps(in: fragment.range) { body(gap) } }
        return covered
    }

    /// Puts a fragment behind all others.
    ///
    /// - Throws: `FragmentError.outOfOrder` when it begins before the ``end``, `FragmentError.exceedsLimit`;
    ///   the list is unchanged.
    /// - Complexity: O(1), amortised.
    @inlinable public mutating func append(_ fragment: Fragment<Bound, Payload>) throws(FragmentError<Bound>) {
        try checkLimit(fragment.upperBound)
        if fragment.isEmpty { return }
        let end = end
        if fragment.lowerBound < end {
            throw FragmentError.outOfOrder(lowerBound: fragment.lowerBound, end: end)
        }
        withUniqueTree { $0.appendJoining(Extent(fragment.lowerBound, fragment.upperBound), fragment.payload) }
    }
}

extension MergedRun {
    /// Whether the fragments cover exactly `whole`.
    @inlinable func covers(_ whole: Extent<Bound>) -> Bool {
        isContiguous && fragments.first?.lowerBound == whole.lower && fragments.last?.upperBound == whole.upper
    }
}

extension Tree {
    /// All ranges that overlap or touch a range, in order.
    @inlinable func run(touching range: Extent<Bound>) -> [Fragment<Bound, Payload>] {
        var run: [Fragment<Bound, Payload>] = []
        var cursor = Cursor(range.lower == 0 ? firstPlace(endingAfter: 0) : firstPlace(endingAfter: range.lower &- 1))
        while let fragment = cursor.fragment, fragment.lowerBound <= range.upper {
            run.append(fragment)
            cursor.advance()
        }
        return run
    }

    /// Puts a range that begins at or after the end behind all others, and joins it with the last if they may
    /// be one.
    @inlinable @inline(always) func appendJoining(_ extent: Extent<Bound>, _ payload: Payload) {
        if extent.lower > end || total.count == 0 { return append(extent, payload) }
        let slot = tail.count &- 1
        if !Payload.mergesAlways, !Payload.mayMerge(tail.fragment(slot), Fragment(extent: extent, payload)) {
            return append(extent, payload)
        }
        let joined = Extent(tail[slot].lower, extent.upper)
        tail[slot] = joined
        unsafe header.pointee.end = extent.upper
        unsafe header.pointee.total.add(Summary(sum: extent.length, largest: joined.length))
    }
}
