extension Tree {
    /// The first rule of the tree that does not hold; nil when all do. O(n)
    func violation() -> String? {
        var seen = Seen()
        if let problem = unsafe violation(header.pointee.root, level: height, isRightEdge: true, isRoot: true, &seen) {
            return problem
        }
        if seen.last != tail { return "the last leaf is not the tail" }
        if tail.next != nil { return "the tail has a neighbour behind it" }
        if seen.first != head { return "the first leaf is not the head" }
        if seen.summary != total { return "header says \(total), leaves hold \(seen.summary)" }
        if seen.end != end { return "header says the end is \(end), it is \(seen.end)" }
        return nil
    }

    /// What a walk over the leaves has met.
    private struct Seen {
        var first: Leaf<Bound, Payload>?
        var last: Leaf<Bound, Payload>?
        var end: Bound = 0
        var summary = Summary<Bound>()
        var fragment: Fragment<Bound, Payload>?
    }

    private func violation(
        _ node: UnsafeMutableRawPointer, level: Int, isRightEdge: Bool, isRoot: Bool, _ seen: inout Seen
    ) -> String? {
        if level == 0 { return unsafe violation(Leaf(node), isRoot: isRoot, &seen) }
        let inner = unsafe Inner<Bound, Payload>(node)
        if inner.count < (isRoot ? 2 : 1) || inner.count > NodeSize.inner { return "inner node of \(inner.count)" }
        for child in 0..<inner.count {
            let before = seen.summary
            let wasEmpty = before.count == 0
            seen.summary = Summary()
            let isEdge = isRightEdge && child == inner.count - 1
            let problem = unsafe violation(
                inner.children[child], level: level - 1, isRightEdge: isEdge, isRoot: false, &seen)
            if let problem { return problem }
            if !isEdge, inner.summary(child) != seen.summary {
                return "entry \(child) of level \(level) says \(inner.summary(child)), is \(seen.summary)"
            }
            if inner.key(child) != firstBeginning(inner, child, level) { return "key \(child) of level \(level)" }
            seen.summary.add(before)
            if wasEmpty, seen.summary.count == 0 { return "subtree without ranges" }
        }
        for child in inner.count..<NodeSize.inner where inner.key(child) != .max { return "key of no entry" }
        return nil
    }

    private func firstBeginning(_ inner: Inner<Bound, Payload>, _ child: Int, _ level: Int) -> Bound {
        var node = unsafe inner.children[child]
        for _ in 1..<level { unsafe node = Inner<Bound, Payload>(node).children[0] }
        return unsafe Leaf<Bound, Payload>(node)[0].lower
    }

    private func violation(_ leaf: Leaf<Bound, Payload>, isRoot: Bool, _ seen: inout Seen) -> String? {
        if leaf.count == 0, !isRoot { return "empty leaf" }
        if leaf.previous != seen.last { return "leaf is not linked to the one before" }
        if let last = seen.last, last.next != leaf { return "leaf is not linked from the one before" }
        if seen.first == nil { seen.first = leaf }
        seen.last = leaf
        for slot in 0..<leaf.count {
            let extent = leaf[slot]
            if extent.lower >= extent.upper { return "range \(extent) is empty or reversed" }
            if extent.lower < seen.end { return "range \(extent) begins before \(seen.end)" }
            let fragment = leaf.fragment(slot)
            if extent.lower == seen.end, let before = seen.fragment, Payload.mayMerge(before, fragment) {
                return "range \(extent) touches its neighbour and may merge with it"
            }
            seen.end = extent.upper
            seen.fragment = fragment
            seen.summary.add(Summary(sum: extent.length, largest: extent.length, count: 1))
        }
        for slot in leaf.count..<leaf.capacity where leaf[slot] != .unused { return "slot \(slot) is not cleared" }
        return nil
    }
}

extension Tree {
    func byteCount(_ node: UnsafeMutableRawPointer, level: Int) -> Int {
        if level == 0 {
            let capacity = unsafe Leaf<Bound, Payload>(node).capacity
            let payloads = Leaf<Bound, Payload>.hasPayloads ? capacity * MemoryLayout<Payload>.stride : 0
            return Leaf<Bound, Payload>.payloadOffset(capacity) + payloads
        }
        let inner = unsafe Inner<Bound, Payload>(node)
        return (0..<inner.count).reduce(Inner<Bound, Payload>.byteCount) { sum, child in
            unsafe sum + byteCount(inner.children[child], level: level - 1)
        }
    }
}

extension FragmentList {
    /// The first rule of the data structure that does not hold; nil when the list is valid. For tests. O(n)
    @_spi(Testing) public func violation() -> String? {
        if end > limit { return "the last fragment ends at \(end), behind the limit \(limit)" }
        return withTree { $0.violation() }
    }

    /// The bytes of all nodes, without what the payloads hold and without the allocator's own. O(nodes)
    @_spi(Testing) public var allocatedByteCount: Int {
        withTree { tree in unsafe tree.byteCount(tree.header.pointee.root, level: tree.height) }
    }
}
