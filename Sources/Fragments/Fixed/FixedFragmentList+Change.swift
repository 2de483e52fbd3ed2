extension FixedFragmentList {
    /// Covers `lowerBound..<upperBound`, and joins it with all it overlaps or touches.
    ///
    /// - Returns: the length that was not covered before. An empty range changes nothing.
    /// - Throws: `FragmentError.invalidRange`, `FragmentError.exceedsLimit`, and `FragmentError.full` when it
    ///   would be one range more than fit in; the list is unchanged.
    /// - Complexity: O(log *n*) and moving at most *n* ranges; O(1) behind the last range.
    @inlinable @discardableResult
    public mutating func insert(_ lowerBound: Bound, _ upperBound: Bound) throws(FragmentError<Bound>) -> Bound {
        try check(lowerBound, upperBound)
        if lowerBound == upperBound { return 0 }
        let isLast = used == 0 || lowerBound > self[stored: used &- 1].upper
        let slot = isLast ? used : firstSlot(endingAtOrAfter: lowerBound)
        if isLast || self[stored: slot].lower > upperBound {
            if used == capacity { throw FragmentError.full(capacity: capacity) }
            open(slot, Extent(lowerBound, upperBound))
            sum &+= upperBound &- lowerBound
            return upperBound &- lowerBound
        }
        return join(Extent(lowerBound, upperBound), at: slot)
    }

    /// Uncovers `lowerBound..<upperBound`: ranges inside go, overlapped ones are shortened, one around it is cut
    /// in two.
    ///
    /// - Returns: the length that was covered.
    /// - Throws: `FragmentError.invalidRange`, `FragmentError.exceedsLimit`, and `FragmentError.full` when a
    ///   range would have to be cut in two and there is no room; the list is unchanged.
    /// - Complexity: O(log *n*) and moving at most *n* ranges.
    @inlinable @discardableResult
    public mutating func erase(_ lowerBound: Bound, _ upperBound: Bound) throws(FragmentError<Bound>) -> Bound {
        try check(lowerBound, upperBound)
        if lowerBound == upperBound { return 0 }
        var slot = firstSlot(endingAtOrAfter: lowerBound &+ 1)
        if slot < used, self[stored: slot].lower < lowerBound {
            let whole = self[stored: slot]
            if whole.upper > upperBound {
                if used == capacity { throw FragmentError.full(capacity: capacity) }
                open(slot &+ 1, Extent(upperBound, whole.upper))
            }
            self[stored: slot].upper = lowerBound
            if whole.upper >= upperBound {
                sum &-= upperBound &- lowerBound
                return upperBound &- lowerBound
            }
            sum &-= whole.upper &- lowerBound
            return whole.upper &- lowerBound &+ eraseBeginning(lowerBound, upperBound, from: &slot, skip: 1)
        }
        return eraseBeginning(lowerBound, upperBound, from: &slot, skip: 0)
    }

    /// Removes all ranges; the limit stays. O(1)
    @inlinable public mutating func removeAll() {
        used = 0
        sum = 0
    }

    /// Sets the limit, up or down. O(1)
    ///
    /// - Throws: `FragmentError.limitBelowContents` when a range ends behind it; the limit stays.
    @inlinable public mutating func setLimit(_ limit: Bound) throws(FragmentError<Bound>) {
        if limit < end { throw FragmentError.limitBelowContents(limit: limit, end: end) }
        bound = limit
    }

    @inlinable @inline(always)
    func check(_ lowerBound: Bound, _ upperBound: Bound) throws(FragmentError<Bound>) {
        if upperBound < lowerBound {
            throw FragmentError.invalidRange(lowerBound: lowerBound, upperBound: upperBound)
        }
        if upperBound > bound { throw FragmentError.exceedsLimit(upperBound: upperBound, limit: bound) }
    }

    /// Moves the ranges from `slot` on up by one and puts `extent` there.
    @inlinable @inline(always) mutating func open(_ slot: Int, _ extent: Extent<Bound>) {
        unsafe move(from: extents + slot, to: extents + slot + 1, count: used &- slot)
        used &+= 1
        self[stored: slot] = extent
    }

    /// Takes out the ranges in `first..<last`.
    @inlinable @inline(always) mutating func close(_ first: Int, _ last: Int) {
        unsafe move(from: extents + last, to: extents + first, count: used &- last)
        used &-= last &- first
    }

    /// Moves ranges as plain memory: `update(from:count:)` does not pass `@_noLocks`.
    @inlinable @inline(always)
    func move(from: UnsafeMutablePointer<Extent<Bound>>, to: UnsafeMutablePointer<Extent<Bound>>, count: Int) {
        unsafe UnsafeMutableRawPointer(to).copyMemory(
            from: from, byteCount: count &* MemoryLayout<Extent<Bound>>.stride)
    }

    @inlinable mutating func join(_ new: Extent<Bound>, at slot: Int) -> Bound {
        var joined = new
        var covered: Bound = 0
        var stop = slot
        while stop < used, self[stored: stop].lower <= new.upper {
            let extent = self[stored: stop]
            covered &+= extent.length
            if extent.lower < joined.lower { joined.lower = extent.lower }
            if extent.upper > joined.upper { joined.upper = extent.upper }
            stop &+= 1
        }
        self[stored: slot] = joined
        close(slot &+ 1, stop)
        let gained = joined.length &- covered
        sum &+= gained
        return gained
    }

    /// Uncovers a range none of the ranges from `slot + skip` on begins before.
    @inlinable mutating func eraseBeginning(
        _ lowerBound: Bound, _ upperBound: Bound, from slot: inout Int, skip: Int
    ) -> Bound {
        slot &+= skip
        var removed: Bound = 0
        var stop = slot
        while stop < used, self[stored: stop].upper <= upperBound {
            removed &+= self[stored: stop].length
            stop &+= 1
        }
        if stop < used, self[stored: stop].lower < upperBound {
            removed &+= upperBound &- self[stored: stop].lower
            self[stored: stop].lower = upperBound
        }
        close(slot, stop)
        sum &-= removed
        return removed
    }
}
