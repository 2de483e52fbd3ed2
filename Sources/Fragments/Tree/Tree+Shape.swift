// MARK: - Growing

extension Tree {
    /// Makes room behind the last range for one that begins at `key`: a larger leaf while the list is small, else
    /// a new last leaf. A builder gives the total of the old one, which else is counted, and clears the new one.
    @inlinable @inline(never)
    func openTail(for key: Bound, sealing tailTotal: Summary<Bound>?) -> Leaf<Bound, Payload> {
        if tail.capacity < NodeSize.leaf {
            growRoot()
            return tail
        }
        let leaf = Leaf<Bound, Payload>(unclearedCapacity: NodeSize.leaf)
        if tailTotal == nil { leaf.clear(from: 0) }
        let old = tail
        old.link(leaf)
        unsafe header.pointee.tail = leaf
        unsafe header.pointee.shape = 0
        descendRightEdge()
        var node = unsafe leaf.base
        var sealed = tailTotal ?? old.total()
        for depth in (0..<height).reversed() {
            let inner = step(depth).node
            inner.setSummary(inner.count - 1, sealed)
            if inner.count < NodeSize.inner {
                unsafe inner.insert(node, key: key, Summary(), at: inner.count)
                return leaf
            }
            let right = Inner<Bound, Payload>()
            unsafe right.insert(node, key: key, Summary(), at: 0)
            unsafe node = unsafe right.base
            sealed = inner.total()
        }
        unsafe growTree(right: node, key: key, left: sealed)
        return leaf
    }

    /// Gives the small leaf of a small list the full size.
    @inlinable func growRoot() {
        assert(height == 0)
        let leaf = Leaf<Bound, Payload>(capacity: NodeSize.leaf)
        let old = tail
        old.moveTail(from: 0, to: leaf)
        old.deallocate()
        unsafe header.pointee.root = unsafe leaf.base
        unsafe header.pointee.head = leaf
        unsafe header.pointee.tail = leaf
        unsafe header.pointee.shape = 0
    }

    /// Puts a new root above the old one, which gets `right` as its neighbour.
    @inlinable func growTree(right: UnsafeMutableRawPointer, key: Bound, left: Summary<Bound>) {
        precondition(height < NodeSize.maximumHeight)
        let root = Inner<Bound, Payload>()
        let first = head[0].lower
        unsafe root.insert(header.pointee.root, key: first, left, at: 0)
        unsafe root.insert(right, key: key, Summary(), at: 1)
        unsafe header.pointee.root = unsafe root.base
        unsafe header.pointee.height += 1
        unsafe header.pointee.shape = 0
    }

    /// Notes the way to the last leaf.
    @inlinable func descendRightEdge() {
        var node = unsafe header.pointee.root
        for depth in 0..<height {
            let inner = unsafe Inner<Bound, Payload>(node)
            unsafe path[depth] = PathStep(inner, inner.count - 1)
            unsafe node = unsafe inner.children[inner.count - 1]
        }
    }

    /// Halves the full leaf of the running way, which then is no longer valid.
    @inlinable @inline(never) func split(_ leaf: Leaf<Bound, Payload>) {
        if leaf.capacity < NodeSize.leaf { return growRoot() }
        let right = Leaf<Bound, Payload>(capacity: NodeSize.leaf)
        leaf.link(right)
        leaf.moveTail(from: NodeSize.leaf / 2, to: right)
        if leaf == tail { unsafe header.pointee.tail = right }
        unsafe insertRight(right.base, key: right[0].lower, right.total(), left: leaf.total())
    }

    /// Puts a new subtree to the right of the one the running way leads to, and splits full nodes above.
    @inlinable func insertRight(
        _ newNode: UnsafeMutableRawPointer, key newKey: Bound, _ newSummary: Summary<Bound>,
        left newLeft: Summary<Bound>
    ) {
        unsafe header.pointee.shape = 0
        var (node, key, summary, left) = unsafe (newNode, newKey, newSummary, newLeft)
        for depth in (0..<height).reversed() {
            let (inner, child) = (step(depth).node, step(depth).child)
            inner.setSummary(child, left)
            if inner.count < NodeSize.inner { return unsafe inner.insert(node, key: key, summary, at: child + 1) }
            let right = Inner<Bound, Payload>()
            let half = NodeSize.inner / 2
            inner.moveTail(from: half, to: right)
            if child < half {
                unsafe inner.insert(node, key: key, summary, at: child + 1)
            } else {
                unsafe right.insert(node, key: key, summary, at: child + 1 - half)
            }
            unsafe (node, key, summary, left) = unsafe (right.base, right.key(0), right.total(), inner.total())
        }
        unsafe growTree(right: node, key: key, left: left)
    }
}

// MARK: - Shrinking

extension Tree {
    /// Joins a leaf that has become sparse with a neighbour, if they fit well; removes an empty one.
    @inlinable @inline(always) func relieve(_ leaf: Leaf<Bound, Payload>) {
        if leaf.count < NodeSize.sparse(NodeSize.leaf), height > 0 { relieveSparse(leaf) }
    }

    @inlinable @inline(never) func relieveSparse(_ leaf: Leaf<Bound, Payload>) {
        unsafe header.pointee.shape = 0
        let (parent, child) = (step(height - 1).node, step(height - 1).child)
        if leaf.count == 0 {
            removeLeaf(leaf)
        } else if child + 1 < parent.count, leaf.count + parent.leaf(child + 1).count <= NodeSize.joined(NodeSize.leaf)
        {
            absorb(parent.leaf(child + 1), into: leaf, parent, child)
        } else if child > 0, leaf.count + parent.leaf(child - 1).count <= NodeSize.joined(NodeSize.leaf) {
            absorb(leaf, into: parent.leaf(child - 1), parent, child - 1)
        } else {
            return
        }
        relieveInner(from: height - 1)
    }

    /// Moves all of `right`, the entry after `child`, into its left neighbour.
    @inlinable func absorb(
        _ right: Leaf<Bound, Payload>, into left: Leaf<Bound, Payload>, _ parent: Inner<Bound, Payload>, _ child: Int
    ) {
        right.moveTail(from: 0, to: left)
        right.unlink()
        if right == tail { unsafe header.pointee.tail = left }
        right.deallocate()
        parent.remove(child + 1)
        parent.setSummary(child, left.total())
    }

    /// Takes an empty leaf out of the tree.
    @inlinable func removeLeaf(_ leaf: Leaf<Bound, Payload>) {
        leaf.unlink()
        if leaf == tail, let previous = leaf.previous { unsafe header.pointee.tail = previous }
        if leaf == head, let next = leaf.next { unsafe header.pointee.head = next }
        leaf.deallocate()
        refreshEnd(tail)
        var depth = height - 1
        while depth > 0, step(depth).node.count == 1 {
            step(depth).node.deallocate()
            depth -= 1
        }
        let step = step(depth)
        step.node.remove(step.child)
        // Only the lowest node that kept something is still there; nodes below it on the way are gone.
        if step.child == 0, step.node.count > 0 { refreshKeys(from: depth, step.node.key(0)) }
        dropWay(below: depth)
    }

    /// Shortens the way: what lies below `depth` was removed, so it must not be looked at for joining.
    @inlinable func dropWay(below depth: Int) {
        for gone in (depth + 1)..<max(height, depth + 1) { unsafe path[gone] = path[depth] }
    }

    /// Joins sparse inner nodes on the way with neighbours, from the lowest up, and lowers the root.
    @inlinable func relieveInner(from lowest: Int) {
        var depth = lowest
        while depth > 0 {
            let (node, parent, child) = (step(depth).node, step(depth - 1).node, step(depth - 1).child)
            if node != parent, node.count < NodeSize.sparse(NodeSize.inner) {
                if child + 1 < parent.count,
                    node.count + parent.inner(child + 1).count <= NodeSize.joined(NodeSize.inner)
                {
                    absorb(parent.inner(child + 1), into: node, parent, child)
                } else if child > 0, node.count + parent.inner(child - 1).count <= NodeSize.joined(NodeSize.inner) {
                    absorb(node, into: parent.inner(child - 1), parent, child - 1)
                }
            }
            depth -= 1
        }
        while height > 0, unsafe Inner<Bound, Payload>(header.pointee.root).count == 1 {
            let root = unsafe Inner<Bound, Payload>(header.pointee.root)
            unsafe header.pointee.root = unsafe root.children[0]
            unsafe header.pointee.height -= 1
            root.deallocate()
        }
    }

    @inlinable func absorb(
        _ right: Inner<Bound, Payload>, into left: Inner<Bound, Payload>, _ parent: Inner<Bound, Payload>, _ child: Int
    ) {
        right.moveTail(from: 0, to: left)
        right.deallocate()
        parent.remove(child + 1)
        parent.setSummary(child, left.total())
    }
}
