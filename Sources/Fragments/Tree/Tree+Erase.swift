// MARK: - Removing whole ranges

extension Tree {
    /// Removes all ranges that begin in `first...last`; one of them begins at `first`.
    @inlinable func removeRanges(beginningFrom first: Bound, through last: Bound) {
        var first: Bound? = first
        while let from = first, from <= last {
            let (leaf, _) = descend(before: from &+ 1)
            var slot = leaf.firstSlot(endingAtOrAfter: from &+ 1)
            if slot < leaf.count, leaf[slot].lower < from { slot += 1 }
            let stop = leaf.firstSlot(from: slot, beginningAfter: last)
            first = stop == leaf.count ? leaf.next?[0].lower : nil
            if stop > slot { removeSlots(slot..<stop, of: leaf) }
        }
    }

    /// Removes some slots of the leaf of the running way, which may then be gone.
    @inlinable func removeSlots(_ slots: Range<Int>, of leaf: Leaf<Bound, Payload>) {
        var lost = Summary<Bound>(count: slots.count)
        for slot in slots {
            lost.sum &+= leaf[slot].length
            lost.largest = max(lost.largest, leaf[slot].length)
        }
        leaf.remove(slots)
        add(Summary(sum: 0 &- lost.sum, count: 0 &- lost.count))
        finishRemoval(leaf, firstSlot: slots.lowerBound, lost: lost.largest)
    }

    /// Sets right what depends on the ranges of a leaf from which some were removed or shortened.
    @inlinable @inline(always)
    func finishRemoval(_ leaf: Leaf<Bound, Payload>, firstSlot: Int, lost: Bound) {
        refreshLargest(leaf, lost: lost)
        if firstSlot == 0, leaf.count > 0 { refreshKeys(from: height, leaf[0].lower) }
        refreshEnd(leaf)
        relieve(leaf)
    }

    /// Finds the longest length anew on the way and in the header if a range of length `lost` may have been it.
    @inlinable @inline(always) func refreshLargest(_ leaf: Leaf<Bound, Payload>, lost: Bound) {
        let known = height > 0 ? step(height &- 1).node.summary(step(height &- 1).child).largest : total.largest
        if lost >= known || lost >= total.largest { recountLargest(leaf, lost: lost) }
    }

    @inlinable @inline(never) func recountLargest(_ leaf: Leaf<Bound, Payload>, lost: Bound) {
        var largest = leaf.largest(enough: lost)
        for depth in (0..<height).reversed() {
            let step = step(depth)
            // Something longer than what is lost, or just as long, is still there.
            if step.node.summary(step.child).largest > lost || largest == lost { break }
            unsafe step.node.summaries[step.child].largest = largest
            if depth > 0, self.step(depth - 1).node.summary(self.step(depth - 1).child).largest <= lost {
                largest = step.node.largest(of: step.node.count, enough: lost)
            }
        }
        if lost >= total.largest { unsafe header.pointee.total.largest = largestOverall(enough: lost) }
    }

    /// The longest length in the tree, without the entries of the right edge, which are not exact.
    @inlinable func largestOverall(enough: Bound) -> Bound {
        var largest: Bound = 0
        var node = unsafe header.pointee.root
        for _ in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            largest = max(largest, inner.largest(of: inner.count - 1, enough: enough))
            if largest >= enough { return largest }
            unsafe node = unsafe inner.children[inner.count - 1]
        }
        return max(largest, tail.largest(enough: enough))
    }
}

// MARK: - Erasing positions

extension Tree {
    /// Uncovers a range that is not empty: ranges inside go, overlapped ones are shortened, one around it is
    /// cut in two.
    ///
    /// - Returns: the length that was covered.
    @inlinable func uncover(_ hole: Extent<Bound>) -> Bound {
        if hole.lower >= end { return 0 }
        var removed: Bound = 0
        var from = hole.lower
        while true {
            let (leaf, fence) = descend(before: from &+ 1)
            let slot = leaf.firstSlot(endingAtOrAfter: from &+ 1)
            let next = leaf.next
            let isLast = hole.upper <= fence || next == nil
            if slot < leaf.count, leaf[slot].lower < hole.upper {
                removed &+= uncover(Extent(from, hole.upper), in: leaf, from: slot)
            }
            if isLast { return removed }
            from = fence
        }
    }

    /// Uncovers what lies in the leaf of the running way, beginning with `slot`, which overlaps the hole.
    @inlinable @inline(always)
    func uncover(_ hole: Extent<Bound>, in leaf: Leaf<Bound, Payload>, from slot: Int) -> Bound {
        let first = leaf[slot]
        if first.lower < hole.lower, first.upper > hole.upper { return cutOut(hole, of: leaf, slot) }
        var stop = slot
        var removed = Summary<Bound>()
        while stop < leaf.count, leaf[stop].lower < hole.upper {
            let extent = leaf[stop]
            removed.sum &+= min(extent.upper, hole.upper) &- max(extent.lower, hole.lower)
            removed.largest = max(removed.largest, extent.length)
            stop &+= 1
        }
        let last = leaf[stop &- 1]
        var gone = slot..<stop
        if first.lower < hole.lower {
            shorten(slot, of: leaf, to: Extent(first.lower, hole.lower))
            gone = unsafe Range(uncheckedBounds: (slot &+ 1, stop))
        }
        if last.upper > hole.upper {
            shorten(stop &- 1, of: leaf, to: Extent(hole.upper, last.upper))
            gone = unsafe Range(uncheckedBounds: (gone.lowerBound, stop &- 1))
        }
        if !gone.isEmpty { leaf.remove(gone) }
        add(Summary(sum: 0 &- removed.sum, count: 0 &- gone.count))
        finishRemoval(leaf, firstSlot: slot, lost: removed.largest)
        return removed.sum
    }

    /// Gives the range in `slot` new bounds inside its old ones.
    @inlinable @inline(always) func shorten(_ slot: Int, of leaf: Leaf<Bound, Payload>, to part: Extent<Bound>) {
        if Leaf<Bound, Payload>.hasPayloads {
            let payload = leaf.payload(slot).cut(from: leaf[slot].range, to: part.range)
            leaf.setPayload(slot, payload)
        }
        leaf[slot] = part
    }

    /// Cuts the range in `slot`, which reaches beyond the hole on both sides, in two.
    @inlinable func cutOut(_ hole: Extent<Bound>, of leaf: Leaf<Bound, Payload>, _ slot: Int) -> Bound {
        let whole = leaf[slot]
        let right = Extent(hole.upper, whole.upper)
        let rightPayload = leaf.payload(slot).cut(from: whole.range, to: right.range)
        let left = Extent(whole.lower, hole.lower)
        shorten(slot, of: leaf, to: left)
        add(Summary(sum: left.length &- whole.length))
        refreshLargest(leaf, lost: whole.length)
        refreshEnd(leaf)
        place(right, rightPayload, in: leaf, at: slot &+ 1)
        return hole.length
    }
}

extension Extent {
    @inlinable @inline(always) var range: Range<Bound> { unsafe Range(uncheckedBounds: (lower, upper)) }
}
