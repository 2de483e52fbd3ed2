extension FragmentList where Payload == NoPayload {
    /// Covers all ranges of a sequence, in any order; they may overlap.
    ///
    /// - Returns: the length that was not covered before.
    /// - Throws: `FragmentError.exceedsLimit` when one of the ranges does not fit; the list is unchanged.
    /// - Complexity: O(*n* + *m*) for *m* ranges whose beginnings are in order or evenly spread, else
    ///   O(*n* + *m* log *m*); O(*m* log *n*) when *m* is much smaller than *n*.
    @inlinable @discardableResult
    public mutating func insert(contentsOf ranges: some Sequence<Range<Bound>>) throws(FragmentError<Bound>) -> Bound {
        var extents: [Extent<Bound>] = []
        extents.reserveCapacity(ranges.underestimatedCount)
        var isSorted = true
        var last: Bound = 0
        var end: Bound = 0
        for range in ranges where !range.isEmpty {
            extents.append(Extent(range.lowerBound, range.upperBound))
            isSorted = isSorted && last <= range.lowerBound
            last = range.lowerBound
            end = Swift.max(end, range.upperBound)
        }
        try checkLimit(end)
        if !isSorted, !isMuchLarger(than: extents.count) {
            unsafe extents.withUnsafeMutableBufferPointer { unsafe RadixSort.sort($0) }
            isSorted = true
        }
        let before = lengthSum
        if !isSorted || isMuchLarger(than: extents.count) {
            withUniqueTree { tree in for extent in extents { _ = tree.cover(extent) } }
        } else {
            insert(sorted: extents)
        }
        return lengthSum &- before
    }

    /// Covers ranges that are sorted by their beginning; they may overlap.
    @inlinable mutating func insert(sorted extents: [Extent<Bound>]) {
        guard let first = extents.first else { return }
        if first.lower > end || isEmpty { return withUniqueTree { $0.append(sorted: extents) } }
        let added = FragmentList(limit: limit)
        added.withTree { $0.append(sorted: extents) }
        let united = FragmentList(limit: limit)
        withTree { old in
            added.withTree { new in
                var sweep = Sweep(old, new)
                sweep.build(Tree(united.owner)) { $0 || $1 }
            }
        }
        self = united
    }

    /// A list that covers the ranges of a sequence, in any order; they may overlap.
    ///
    /// - Throws: `FragmentError.exceedsLimit` when one of the ranges does not fit.
    /// - Complexity: O(*m*) for *m* ranges whose beginnings are in order or evenly spread, else O(*m* log *m*).
    @inlinable public init(_ ranges: some Sequence<Range<Bound>>, limit: Bound = .max) throws(FragmentError<Bound>) {
        self.init(limit: limit)
        try insert(contentsOf: ranges)
    }

    /// A list without a known limit over the positions of a set of ranges of the standard library. O(m)
    @inlinable public init(_ set: RangeSet<Bound>) {
        self.init()
        withUniqueTree { tree in
            for range in set.ranges { tree.append(Extent(range.lowerBound, range.upperBound), NoPayload()) }
        }
    }
}

extension FragmentList: ExpressibleByArrayLiteral where Payload == NoPayload {
    /// A list without a known limit that covers some ranges, in any order; they may overlap.
    @inlinable public init(arrayLiteral ranges: Range<Bound>...) {
        self.init()
        for range in ranges where !range.isEmpty {
            _ = withUniqueTree { $0.cover(Extent(range.lowerBound, range.upperBound)) }
        }
    }
}

extension FragmentList {
    /// Inserts the fragments of a sequence, one after the other: later ones are laid over earlier ones.
    ///
    /// - Returns: the length that was not covered before.
    /// - Throws: as `insert`; the fragments before the one in question are inserted.
    /// - Complexity: that of *m* single insertions; O(*m*) for *m* fragments in order behind the last.
    @inlinable @discardableResult
    public mutating func insert(
        contentsOf fragments: some Sequence<Fragment<Bound, Payload>>
    ) throws(FragmentError<Bound>) -> Bound {
        let before = lengthSum
        for fragment in fragments { try insert(fragment) }
        return lengthSum &- before
    }

    /// A list of the fragments of a sequence, inserted one after the other.
    ///
    /// - Throws: as `insert`.
    /// - Complexity: that of *m* insertions; O(*m*) when they are in order.
    @inlinable public init(
        _ fragments: some Sequence<Fragment<Bound, Payload>>, limit: Bound = .max
    ) throws(FragmentError<Bound>) {
        self.init(limit: limit)
        try insert(contentsOf: fragments)
    }

    /// The same ranges with other payloads, joined where the new payloads may merge. O(n)
    @inlinable public func mapPayloads<Other: PayloadTraits>(
        _ transform: (Fragment<Bound, Payload>) -> Other
    ) -> FragmentList<Bound, Other> {
        var mapped = FragmentList<Bound, Other>(limit: limit)
        mapped.withUniqueTree { tree in
            for fragment in self {
                tree.appendJoining(Extent(fragment.lowerBound, fragment.upperBound), transform(fragment))
            }
        }
        return mapped
    }
}

extension Tree {
    /// Appends ranges that are sorted by their beginning, and joins those that overlap or touch. The first one
    /// begins behind the end.
    @inlinable func append(sorted extents: [Extent<Bound>]) {
        guard var open = extents.first else { return }
        for extent in extents {
            if extent.lower <= open.upper {
                open.upper = max(open.upper, extent.upper)
            } else {
                append(open, Self.nothing)
                open = extent
            }
        }
        append(open, Self.nothing)
    }
}
