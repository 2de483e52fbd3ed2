extension FragmentList {
    /// Uncovers a range: fragments inside go, overlapped ones are shortened, one around it is cut in two.
    /// Payloads are cut by ``PayloadTraits/cut(from:to:)``.
    ///
    /// - Returns: the length that was covered.
    /// - Throws: `FragmentError.exceedsLimit`; the list is unchanged.
    /// - Complexity: O(log *n* + *k*), where *k* fragments overlap the range.
    @inlinable @discardableResult
    public mutating func erase(_ range: Range<Bound>) throws(FragmentError<Bound>) -> Bound {
        try checkLimit(range.upperBound)
        if range.isEmpty { return 0 }
        return withUniqueTree { $0.uncover(Extent(range.lowerBound, range.upperBound)) }
    }

    /// Uncovers a range and returns what was there, cut to the range.
    ///
    /// - Throws: `FragmentError.exceedsLimit`; the list is unchanged.
    /// - Complexity: O(log *n* + *k*), where *k* fragments overlap the range.
    @inlinable public mutating func extract(_ range: Range<Bound>) throws(FragmentError<Bound>) -> FragmentList {
        try checkLimit(range.upperBound)
        var extracted = FragmentList(limit: limit)
        for fragment in fragments(overlapping: range) {
            let part = fragment.clamped(to: range)
            extracted.withUniqueTree { $0.appendJoining(Extent(part.lowerBound, part.upperBound), part.payload) }
        }
        try erase(range)
        return extracted
    }

    /// Uncovers every range of a sequence.
    ///
    /// - Returns: the length that was covered.
    /// - Throws: `FragmentError.exceedsLimit`; the ranges before the one in question are erased.
    /// - Complexity: O(*m* log *n*) for *m* ranges, plus the number of fragments that go.
    @discardableResult
    @inlinable public mutating func erase(contentsOf ranges: some Sequence<Range<Bound>>) throws(FragmentError<Bound>)
        -> Bound
    {
        var removed: Bound = 0
        for range in ranges { removed &+= try erase(range) }
        return removed
    }

    /// Removes one fragment and returns it. O(log n)
    ///
    /// - Precondition: `index` is below `count`.
    @discardableResult
    @inlinable public mutating func remove(at index: Int) -> Fragment<Bound, Payload> {
        let fragment = self[index]
        _ = withUniqueTree { $0.uncover(Extent(fragment.lowerBound, fragment.upperBound)) }
        return fragment
    }
}
