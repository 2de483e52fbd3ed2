extension FragmentList where Payload == NoPayload {
    /// Covers all ranges of a sequence, in any order; they may overlap.
    ///
    /// - Returns: the length that was not covered before.
    /// - Throws: `FragmentError.exceedsLimit` when one of the ranges does not fit; the list is unchanged.
    /// - Complexity: O(*n* + *m*) for *m* ranges whose beginnings are in order or evenly spread, else
    ///   O(*n* + *m* log *m*); O(*m* log *n*) when *m* is much smaller than *n*.
    @inlinable @discardableResult
    public mutating func insert(contentsOf ranges: some Sequence<Range<Bound>>) throws(FragmentError<Bound>) -> Bound {
        var gathered: [Extent<Bound>] = []
        gathered.reserveCapacity(ranges.underestimatedCount)
        for range in ranges { gathered.append(Extent(range.lowerBound, range.upperBound)) }
        var facts = RangeFacts<Bound>()
        for extent in gathered { facts.note(extent) }
        try checkLimit(facts.end)
        let before = lengthSum
        if isMuchLarger(than: gathered.count) {
            withUniqueTree { tree in for extent in gathered where extent.length > 0 { _ = tree.cover(extent) } }
        } else {
            unsafe gathered.withUnsafeMutableBufferPointer { extents in
                if !facts.isSorted { unsafe RadixSort.sort(extents) }
                unsafe insert(sorted: UnsafeBufferPointer(extents))
            }
        }
        return lengthSum &- before
    }

    /// Covers ranges that are in order behind the end; they may touch, also the end, but not overlap.
    ///
    /// - Throws: `FragmentError.outOfOrder` and `FragmentError.exceedsLimit`; the list is unchanged.
    /// - Complexity: O(*m*) for *m* ranges.
    @inlinable public mutating func append(contentsOf ranges: [Range<Bound>]) throws(FragmentError<Bound>) {
        let isNormal = unsafe ranges.withUnsafeBufferPointer { unsafe isNormalBehindEnd($0) }
        var last = isNormal ? ranges.last?.upperBound ?? end : end
        if !isNormal {
            for range in ranges where !range.isEmpty {
                if range.lowerBound < last { throw FragmentError.outOfOrder(lowerBound: range.lowerBound, end: last) }
                last = range.upperBound
            }
        }
        try checkLimit(last)
        withUniqueTree { tree in
            unsafe ranges.withUnsafeBufferPointer { ranges in
                if isNormal { return unsafe tree.append(normal: ranges) }
                tree.append(sortedCount: ranges.count) { index in
                    unsafe Extent(ranges[index].lowerBound, ranges[index].upperBound)
                }
            }
        }
    }

    /// Whether ranges can be stored behind the end as they are: they are in order, none is empty, and none
    /// touches the one before. Without branches, since all are looked at in nearly every case.
    @inlinable func isNormalBehindEnd(_ ranges: UnsafeBufferPointer<Range<Bound>>) -> Bool {
        guard let all = ranges.baseAddress, ranges.count > 0 else { return true }
        let first = unsafe all[0]
        var faults = first.isEmpty || (count > 0 && first.lowerBound <= end) ? 1 : 0
        for index in 1..<ranges.count {
            let (before, range) = unsafe (all[index &- 1].upperBound, all[index])
            faults |= range.lowerBound <= before ? 1 : 0
            faults |= range.lowerBound == range.upperBound ? 1 : 0
        }
        return faults == 0
    }

    /// Covers ranges that are sorted by their beginning; they may overlap.
    @inlinable mutating func insert(sorted extents: UnsafeBufferPointer<Extent<Bound>>) {
        guard let first = unsafe extents.first else { return }
        if first.lower >= end { return withUniqueTree { $0.append(sortedCount: extents.count) { unsafe extents[$0] } } }
        let added = FragmentList(limit: limit)
        added.withTree { $0.append(sortedCount: extents.count) { unsafe extents[$0] } }
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

/// What must be known of ranges before they are inserted together.
@frozen @usableFromInline
struct RangeFacts<Bound: FragmentBound> {
    @usableFromInline var isSorted = true
    @usableFromInline var last: Bound = 0
    @usableFromInline var end: Bound = 0

    @inlinable init() {}

    /// An empty range counts too: it must keep the order and the limit.
    @inlinable @inline(always) mutating func note(_ extent: Extent<Bound>) {
        isSorted = isSorted && last <= extent.lower
        last = extent.lower
        end = extent.upper > end ? extent.upper : end
    }
}

extension Tree where Payload == NoPayload {
    /// Appends ranges that are in order, not empty, and touch neither one another nor the end: leaf by leaf,
    /// in one piece each.
    @inlinable func append(normal ranges: UnsafeBufferPointer<Range<Bound>>) {
        guard let first = ranges.baseAddress, ranges.count > 0 else { return }
        var builder = Builder(self)
        var index = 0
        while index < ranges.count {
            let piece = min(builder.leaf.capacity &- builder.slot, ranges.count &- index)
            unsafe builder.append(normal: first + index, piece)
            index &+= piece
            if index < ranges.count { builder.nextLeaf(beginning: unsafe first[index].lowerBound) }
        }
        builder.finish()
    }

    /// Appends ranges that are sorted by their beginning, and joins those that overlap or touch. The first one
    /// begins at the end or behind.
    @inlinable @inline(always) func append(sortedCount count: Int, _ extent: (Int) -> Extent<Bound>) {
        var index = 0
        // What touches the end prolongs the last range; in an empty tree nothing does.
        while index < count, extent(index).length == 0 || total.count > 0 && extent(index).lower <= end {
            let upper = extent(index).upper
            if extent(index).length > 0, upper > end { appendJoining(Extent(end, upper), Self.nothing) }
            index &+= 1
        }
        guard index < count else { return }
        var builder = Builder(self)
        var open = extent(index)
        index &+= 1
        while index < count { builder.fillLeaf(&open, &index, count, extent) }
        builder.append(open)
        builder.finish()
    }
}

extension Tree.Builder where Payload == NoPayload {
    /// Copies ranges into the current leaf, which has room for them. A range and an extent are the same two
    /// bounds in memory.
    @inlinable @inline(always)
    mutating func append(normal ranges: UnsafePointer<Range<Bound>>, _ count: Int) {
        assert(slot &+ count <= leaf.capacity)
        let extents = unsafe UnsafeRawPointer(ranges).assumingMemoryBound(to: Extent<Bound>.self)
        unsafe (leaf.extents + slot).update(from: extents, count: count)
        // Counted at the source: reading back what was just written would wait for it.
        unsafe summary.add(Leaf<Bound, Payload>.total(of: extents, count))
        slot &+= count
    }

    /// Puts ranges into the current leaf until it is full or there are no more, beginning with `open`, which
    /// grows as long as the next range overlaps or touches it. Leaves in `open` what is still to be put in.
    @inlinable @inline(always) mutating func fillLeaf(
        _ open: inout Extent<Bound>, _ index: inout Int, _ count: Int, _ extent: (Int) -> Extent<Bound>
    ) {
        let (all, capacity) = unsafe (leaf.extents, leaf.capacity)
        var (current, next, slot, sum, largest) = (open, index, slot, summary.sum, summary.largest)
        while next < count, slot < capacity {
            let new = extent(next)
            next &+= 1
            if new.lower <= current.upper {
                current.upper = new.upper > current.upper ? new.upper : current.upper
            } else if new.length > 0 {
                unsafe all[slot] = current
                slot &+= 1
                sum &+= current.length
                largest = current.length > largest ? current.length : largest
                current = new
            }
        }
        (open, index, self.slot, summary.sum, summary.largest) = (current, next, slot, sum, largest)
        if slot == capacity { nextLeaf(beginning: open.lower) }
    }
}
