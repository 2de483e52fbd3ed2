// MARK: - The way down

extension Tree {
    /// Goes to the last leaf that can hold a range beginning before `position`, and notes the way in `path`.
    ///
    /// - Returns: the leaf, and the first beginning behind it (`Bound.max` when there is none).
    @inlinable @inline(always) func descend(before position: Bound) -> (leaf: Leaf<Bound, Payload>, fence: Bound) {
        var node = unsafe header.pointee.root
        var fence = Bound.max
        let height = height
        for depth in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            let child = inner.child(before: position)
            unsafe path[depth] = PathStep(inner, child)
            if child &+ 1 < inner.count { fence = inner.key(child &+ 1) }
            unsafe node = unsafe inner.children[child]
        }
        return unsafe (Leaf(node), fence)
    }

    /// Adds what a leaf has gained (or lost, by wrapping) to all summaries on the way to it.
    @inlinable @inline(always) func add(_ change: Summary<Bound>) {
        for depth in 0..<height {
            let step = step(depth)
            unsafe step.node.summaries[step.child].add(change)
        }
        unsafe header.pointee.total.add(change)
    }

    /// Notes that the first range of the subtree below `depth` now begins at `key`.
    @inlinable func refreshKeys(from depth: Int, _ key: Bound) {
        unsafe header.pointee.shape = 0
        var depth = depth
        while depth > 0 {
            depth -= 1
            let step = step(depth)
            step.node.setKey(step.child, key)
            if step.child != 0 { return }
        }
    }

    @inlinable @inline(always) func refreshEnd(_ leaf: Leaf<Bound, Payload>) {
        if leaf == tail { unsafe header.pointee.end = leaf.count == 0 ? 0 : leaf[leaf.count &- 1].upper }
    }
}

// MARK: - Inserting

extension Tree {
    /// Puts a range behind all others. It must begin at or after `end`, and must not be one with the last.
    @inlinable @inline(always) func append(_ extent: Extent<Bound>, _ payload: Payload) {
        var leaf = tail
        if leaf.isFull { leaf = openTail(for: extent.lower, sealing: nil) }
        let slot = leaf.count
        leaf[slot] = extent
        if Leaf<Bound, Payload>.hasPayloads { unsafe (leaf.payloads + slot).initialize(to: payload) }
        leaf.count = slot &+ 1
        unsafe header.pointee.end = extent.upper
        let length = extent.length
        unsafe header.pointee.total.sum &+= length
        unsafe header.pointee.total.count &+= 1
        if length > total.largest { unsafe header.pointee.total.largest = length }
    }

    /// Covers a range that is not empty, and joins all ranges it overlaps or touches. Only for payloads that
    /// always merge.
    ///
    /// - Returns: the length that was not covered before.
    @inlinable @inline(always) func cover(_ new: Extent<Bound>) -> Bound {
        if new.lower <= end { return coverBeforeEnd(new) }
        append(new, Self.nothing)
        return new.length
    }

    @inlinable @inline(never) func coverBeforeEnd(_ new: Extent<Bound>) -> Bound {
        let (leaf, fence) = descend(before: new.lower)
        let slot = leaf.firstSlot(endingAtOrAfter: new.lower)
        let next = slot < leaf.count ? leaf[slot].lower : fence
        if next > new.upper {
            place(new, Self.nothing, in: leaf, at: slot)
            return new.length
        }
        return join(new, in: leaf, from: slot, fence: fence)
    }

    /// The payload of types that always merge: these have no size, so there is nothing to initialise.
    @inlinable @inline(always) static var nothing: Payload {
        precondition(!Leaf<Bound, Payload>.hasPayloads, "a payload that always merges must have no size")
        return unsafe unsafeBitCast((), to: Payload.self)
    }

    /// Puts a range that touches no other into the leaf of the running way.
    @inlinable @inline(always)
    func place(_ new: Extent<Bound>, _ payload: Payload, in leaf: Leaf<Bound, Payload>, at slot: Int) {
        if leaf.isFull { return placeAfterSplit(new, payload, in: leaf, at: slot) }
        leaf.insert(new, payload, at: slot)
        add(Summary(sum: new.length, largest: new.length, count: 1))
        if slot == 0, height > 0 { refreshKeys(from: height, new.lower) }
        refreshEnd(leaf)
    }

    @inlinable @inline(never)
    func placeAfterSplit(_ new: Extent<Bound>, _ payload: Payload, in leaf: Leaf<Bound, Payload>, at slot: Int) {
        if leaf == tail, slot == leaf.count { return append(new, payload) }
        split(leaf)
        insertDisjoint(new, payload)
    }

    /// Puts in a range that overlaps no other, without joining it to its neighbours.
    @inlinable func insertDisjoint(_ new: Extent<Bound>, _ payload: Payload) {
        let (leaf, _) = descend(before: new.lower)
        // A range that ends exactly where this one begins stays in front of it.
        var slot = leaf.firstSlot(endingAtOrAfter: new.lower)
        if slot < leaf.count, leaf[slot].upper <= new.lower { slot += 1 }
        place(new, payload, in: leaf, at: slot)
    }

    /// Joins `new` with the ranges from `slot` on.
    @inlinable @inline(always)
    func join(_ new: Extent<Bound>, in leaf: Leaf<Bound, Payload>, from slot: Int, fence: Bound) -> Bound {
        let stop = leaf.firstSlot(from: slot, beginningAfter: new.upper)
        if stop == leaf.count, new.upper >= fence { return joinAcrossLeaves(new, leaf, from: slot) }
        let first = leaf[slot]
        let joined = Extent(min(first.lower, new.lower), max(leaf[stop &- 1].upper, new.upper))
        var covered: Bound = 0
        for k in slot..<stop { covered &+= leaf[k].length }
        let gained = joined.length &- covered
        leaf[slot] = joined
        let absorbed = stop &- slot &- 1
        if absorbed > 0 { leaf.remove((slot &+ 1)..<stop) }
        add(Summary(sum: gained, largest: joined.length, count: 0 &- absorbed))
        if slot == 0, height > 0, joined.lower != first.lower { refreshKeys(from: height, joined.lower) }
        refreshEnd(leaf)
        if absorbed > 0 { relieve(leaf) }
        return gained
    }

    @inlinable @inline(never)
    func joinAcrossLeaves(_ new: Extent<Bound>, _ leaf: Leaf<Bound, Payload>, from slot: Int) -> Bound {
        var joined = new
        var covered: Bound = 0
        var run: Extent<Bound>?
        var place: (leaf: Leaf<Bound, Payload>, slot: Int)? = (leaf, slot)
        if slot == leaf.count { place = leaf.next.map { ($0, 0) } }
        while let (leaf, slot) = place, leaf[slot].lower <= new.upper {
            let extent = leaf[slot]
            covered &+= extent.length
            joined = Extent(min(joined.lower, extent.lower), max(joined.upper, extent.upper))
            run = Extent(run?.lower ?? extent.lower, extent.lower)
            place = slot + 1 < leaf.count ? (leaf, slot + 1) : leaf.next.map { ($0, 0) }
        }
        if let run { removeRanges(beginningFrom: run.lower, through: run.upper) }
        insertDisjoint(joined, Self.nothing)
        return joined.length &- covered
    }
}
