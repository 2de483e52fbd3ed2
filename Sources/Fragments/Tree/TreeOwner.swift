/// One step of the way from the root to a leaf.
@frozen @safe @usableFromInline
struct PathStep<Bound: FragmentBound, Payload: PayloadTraits> {
    @usableFromInline var node: Inner<Bound, Payload>
    @usableFromInline var child: Int

    @inlinable @inline(always) init(_ node: Inner<Bound, Payload>, _ child: Int) {
        self.node = node
        self.child = child
    }
}

/// What a tree knows about itself without looking into a node.
///
/// Safe because the pointers are owned by the `TreeOwner` that holds this header.
@frozen @safe @usableFromInline
struct TreeHeader<Bound: FragmentBound, Payload: PayloadTraits> {
    /// A `Leaf` when `height` is zero, else an `Inner`.
    @usableFromInline var root: UnsafeMutableRawPointer
    /// The number of levels above the leaves.
    @usableFromInline var height: Int
    @usableFromInline var head: Leaf<Bound, Payload>
    @usableFromInline var tail: Leaf<Bound, Payload>
    /// The end of the last range; zero when there is none.
    @usableFromInline var end: Bound
    /// Exact at all times.
    @usableFromInline var total: Summary<Bound>
    /// Names this shape of this tree among all trees while it lasts; zero when nobody asked for a name.
    @usableFromInline var shape: UInt64

    @inlinable init(leaf: Leaf<Bound, Payload>) {
        unsafe root = leaf.base
        height = 0
        head = leaf
        tail = leaf
        end = 0
        total = Summary()
        shape = 0
    }
}

/// Owns the nodes of one tree. Lists share an owner until one of them changes.
///
/// The header and the way of the running operation lie in the object itself: nothing is reached by more than
/// one pointer, and raw memory has no exclusivity checks.
@usableFromInline
final class TreeOwner<Bound: FragmentBound, Payload: PayloadTraits>:
    ManagedBuffer<TreeHeader<Bound, Payload>, PathStep<Bound, Payload>>
{
    @inlinable deinit {
        Tree(self).deallocateNodes()
    }

    /// An owner of an empty tree.
    @inlinable static func make() -> TreeOwner {
        let buffer = TreeOwner.create(minimumCapacity: NodeSize.maximumHeight) { _ in
            TreeHeader(leaf: Leaf(capacity: NodeSize.smallLeaf))
        }
        return unsafe unsafeDowncast(buffer, to: TreeOwner.self)
    }
}

/// The operations of the tree. A value of this type is a borrowed handle, used while its owner is alive.
///
/// The tree is a B+ tree: ranges lie in leaves of up to 64, inner nodes hold the first beginning and a summary
/// of up to 64 subtrees. Two rules hold between operations:
///
/// - A key is exactly the first beginning in its subtree.
/// - A summary is exact, except those on the right edge (the last entry of the root, the last entry of that
///   node, and so on down). Nobody reads these: sums count what lies to the left of an entry, and the whole is
///   in the header. Appending therefore touches the header and the last leaf only. An entry is made exact when
///   something comes to lie to its right.
@frozen @safe @usableFromInline
struct Tree<Bound: FragmentBound, Payload: PayloadTraits> {
    @usableFromInline let header: UnsafeMutablePointer<TreeHeader<Bound, Payload>>
    @usableFromInline let path: UnsafeMutablePointer<PathStep<Bound, Payload>>

    @inlinable @inline(always) init(_ owner: TreeOwner<Bound, Payload>) {
        (unsafe header, unsafe path) = unsafe owner.withUnsafeMutablePointers { unsafe ($0, $1) }
    }

    @inlinable @inline(always) var height: Int { unsafe header.pointee.height }
    @inlinable @inline(always) var head: Leaf<Bound, Payload> { unsafe header.pointee.head }
    @inlinable @inline(always) var tail: Leaf<Bound, Payload> { unsafe header.pointee.tail }
    @inlinable @inline(always) var total: Summary<Bound> { unsafe header.pointee.total }
    @inlinable @inline(always) var end: Bound { unsafe header.pointee.end }

    @inlinable @inline(always) func step(_ depth: Int) -> PathStep<Bound, Payload> {
        assert(depth >= 0 && depth < height)
        return unsafe path[depth]
    }
}

// MARK: - Whole trees

extension Tree {
    @inlinable func deallocateNodes() {
        unsafe deallocate(header.pointee.root, height: height)
    }

    @inlinable func deallocate(_ node: UnsafeMutableRawPointer, height: Int) {
        guard height > 0 else { return unsafe Leaf<Bound, Payload>(node).deallocate() }
        let inner = unsafe Inner<Bound, Payload>(node)
        for child in 0..<inner.count { unsafe deallocate(inner.children[child], height: height - 1) }
        inner.deallocate()
    }

    /// Makes this tree, which must be empty, a copy of another. O(n).
    @inlinable func copy(_ other: Tree) {
        deallocateNodes()
        var last: Leaf<Bound, Payload>?
        unsafe header.pointee.root = copyNode(other.header.pointee.root, height: other.height, last: &last)
        unsafe header.pointee.height = other.height
        if let last { unsafe header.pointee.tail = last }
        unsafe header.pointee.end = other.end
        unsafe header.pointee.total = other.total
    }

    @inlinable func copyNode(
        _ node: UnsafeMutableRawPointer, height: Int, last: inout Leaf<Bound, Payload>?
    ) -> UnsafeMutableRawPointer {
        if height == 0 {
            let copy = unsafe Leaf<Bound, Payload>(node).copy()
            if let last { last.link(copy) } else { unsafe header.pointee.head = copy }
            last = copy
            return unsafe copy.base
        }
        let source = unsafe Inner<Bound, Payload>(node)
        let copy = Inner<Bound, Payload>()
        for child in 0..<source.count {
            let subtree = unsafe copyNode(source.children[child], height: height - 1, last: &last)
            unsafe copy.insert(subtree, key: source.key(child), source.summary(child), at: child)
        }
        return unsafe copy.base
    }
}

extension Leaf {
    /// A leaf of its own with the same ranges and payloads.
    @inlinable func copy() -> Leaf {
        let copy = Leaf(capacity: capacity)
        unsafe copy.extents.update(from: extents, count: count)
        if Self.hasPayloads { unsafe copy.payloads.initialize(from: payloads, count: count) }
        copy.count = count
        return copy
    }
}
