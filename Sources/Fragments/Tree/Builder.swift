extension Tree {
    /// Puts ranges behind all others at full speed: leaf by leaf, with all figures in registers.
    ///
    /// While a builder is at work the tree is not to be used. `finish()` makes it valid again.
    @frozen @safe @usableFromInline
    struct Builder {
        @usableFromInline let tree: Tree
        @usableFromInline var leaf: Leaf<Bound, Payload>
        @usableFromInline var slot: Int
        /// The ranges of the current leaf.
        @usableFromInline var summary: Summary<Bound>
        /// All ranges before the current leaf.
        @usableFromInline var before: Summary<Bound>

        @inlinable init(_ tree: Tree) {
            self.tree = tree
            leaf = tree.tail
            slot = leaf.count
            summary = leaf.total()
            before = tree.total
            before.sum &-= summary.sum
            before.count &-= summary.count
        }

        /// Puts a range behind all others. It must begin behind the end.
        @inlinable @inline(always) mutating func append(_ extent: Extent<Bound>) where Payload == NoPayload {
            if slot == leaf.capacity { nextLeaf(beginning: extent.lower) }
            leaf[slot] = extent
            slot &+= 1
            let length = extent.length
            summary.sum &+= length
            summary.largest = length > summary.largest ? length : summary.largest
        }

        @inlinable @inline(never) mutating func nextLeaf(beginning key: Bound) {
            leaf.count = slot
            summary.count = slot
            if leaf.capacity < NodeSize.leaf {
                leaf = tree.openTail(for: key, sealing: nil)
                return
            }
            before.add(summary)
            leaf = tree.openTail(for: key, sealing: summary)
            slot = 0
            summary = Summary()
        }

        /// Makes the tree valid.
        @inlinable func finish() {
            leaf.count = slot
            leaf.clear(from: slot)
            var total = before
            var last = summary
            last.count = slot
            total.add(last)
            unsafe tree.header.pointee.total = total
            tree.refreshEnd(leaf)
        }
    }
}
