/// A place in the chain of leaves that walks forwards or backwards. Used while the owner is alive.
@frozen @safe @usableFromInline
struct Cursor<Bound: FragmentBound, Payload: PayloadTraits> {
    @usableFromInline var leaf: Leaf<Bound, Payload>?
    @usableFromInline var slot: Int

    @inlinable @inline(always) init(_ place: Place<Bound, Payload>?) {
        leaf = place?.leaf
        slot = place?.slot ?? 0
    }

    /// The range here; nil behind the last one.
    @inlinable @inline(always) var extent: Extent<Bound>? {
        guard let leaf, slot < leaf.count else { return nil }
        return leaf[slot]
    }

    /// The range here with its payload; nil behind the last one.
    @inlinable @inline(always) var fragment: Fragment<Bound, Payload>? {
        guard let leaf, slot < leaf.count else { return nil }
        return leaf.fragment(slot)
    }

    /// Goes to the next range.
    @inlinable @inline(always) mutating func advance() {
        guard let leaf else { return }
        slot &+= 1
        if slot == leaf.count {
            self.leaf = leaf.next
            slot = 0
        }
    }

    /// Goes to the range before; behind all when there is none.
    @inlinable @inline(always) mutating func retreat() {
        guard let leaf else { return }
        if slot == 0 {
            self.leaf = leaf.previous
            slot = self.leaf?.count ?? 0
        }
        slot &-= 1
    }
}

extension Tree {
    /// A cursor at the first range.
    @inlinable @inline(always) var first: Cursor<Bound, Payload> { Cursor(Place(head, 0)) }
}
