/// Where a range lies, and how many ranges lie before it.
@frozen @safe @usableFromInline
struct Place<Bound: FragmentBound, Payload: PayloadTraits> {
    @usableFromInline var leaf: Leaf<Bound, Payload>
    @usableFromInline var slot: Int

    @inlinable @inline(always) init(_ leaf: Leaf<Bound, Payload>, _ slot: Int) {
        self.leaf = leaf
        self.slot = slot
    }
}

extension Tree {
    /// The first range that ends behind `position`.
    @inlinable @inline(always) func firstPlace(endingAfter position: Bound) -> Place<Bound, Payload>? {
        if position >= end { return nil }
        var node = unsafe header.pointee.root
        let target = position &+ 1
        for _ in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            unsafe node = unsafe inner.children[inner.child(before: target)]
        }
        let leaf = unsafe Leaf<Bound, Payload>(node)
        let slot = leaf.firstSlot(endingAtOrAfter: target)
        if slot < leaf.count { return Place(leaf, slot) }
        return leaf.next.map { Place($0, 0) }
    }

    /// What lies before `position`: the number of ranges that end at or before it, and the covered length.
    @inlinable func before(_ position: Bound) -> (rank: Int, sum: Bound) {
        if position >= end { return (total.count, total.sum) }
        var node = unsafe header.pointee.root
        var before: (rank: Int, sum: Bound) = (0, 0)
        for _ in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            let child = inner.child(before: position &+ 1)
            for k in 0..<child {
                before.rank &+= inner.summary(k).count
                before.sum &+= inner.summary(k).sum
            }
            unsafe node = unsafe inner.children[child]
        }
        let leaf = unsafe Leaf<Bound, Payload>(node)
        let slot = leaf.firstSlot(endingAtOrAfter: position &+ 1)
        for k in 0..<slot { before.sum &+= leaf[k].length }
        if slot < leaf.count, leaf[slot].lower < position { before.sum &+= position &- leaf[slot].lower }
        return (before.rank + slot, before.sum)
    }

    /// The range before which `rank` ranges lie. `rank` must be below the count.
    @inlinable func place(rank: Int) -> Place<Bound, Payload> {
        var node = unsafe header.pointee.root
        var rest = rank
        for _ in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            var child = 0
            while child < inner.count - 1, rest >= inner.summary(child).count {
                rest &-= inner.summary(child).count
                child &+= 1
            }
            unsafe node = unsafe inner.children[child]
        }
        return unsafe Place(Leaf(node), rest)
    }

    /// The range and position that hold the covered position number `offset`, counted from the first.
    @inlinable func place(coveredOffset offset: Bound) -> (Place<Bound, Payload>, position: Bound) {
        var node = unsafe header.pointee.root
        var rest = offset
        for _ in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            var child = 0
            while child < inner.count - 1, rest >= inner.summary(child).sum {
                rest &-= inner.summary(child).sum
                child &+= 1
            }
            unsafe node = unsafe inner.children[child]
        }
        let leaf = unsafe Leaf<Bound, Payload>(node)
        var slot = 0
        while rest >= leaf[slot].length {
            rest &-= leaf[slot].length
            slot += 1
        }
        return (Place(leaf, slot), leaf[slot].lower &+ rest)
    }

    /// The first of the longest ranges.
    @inlinable func largestPlace() -> Place<Bound, Payload>? {
        if total.count == 0 { return nil }
        var node = unsafe header.pointee.root
        for _ in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            var child = 0
            while child < inner.count - 1, inner.summary(child).largest < total.largest { child += 1 }
            unsafe node = unsafe inner.children[child]
        }
        let leaf = unsafe Leaf<Bound, Payload>(node)
        var slot = 0
        while leaf[slot].length < total.largest { slot += 1 }
        return Place(leaf, slot)
    }
}
