/// The bounds of all ranges of a tree in order: a beginning, an end, a beginning, and so on.
///
/// Safe because it is used while the owner of the tree is alive and unchanged.
@frozen @safe @usableFromInline
struct Boundaries<Bound: FragmentBound, Payload: PayloadTraits> {
    @usableFromInline var next: UnsafeMutablePointer<Extent<Bound>>
    @usableFromInline var rest: Int
    @usableFromInline var leaf: Leaf<Bound, Payload>
    @usableFromInline var isInside = false
    /// The next bound; `Bound.max` behind the last one, and there a range that is still open ends.
    @usableFromInline var current: Bound

    @inlinable init(_ tree: Tree<Bound, Payload>) {
        leaf = tree.head
        unsafe next = leaf.extents
        rest = leaf.count
        current = rest == 0 ? .max : unsafe next.pointee.lower
    }

    /// Steps over all bounds at `position`.
    @inlinable @inline(always) mutating func step(over position: Bound) {
        while current == position, position != .max {
            isInside.toggle()
            if isInside {
                current = unsafe next.pointee.upper
            } else {
                rest &-= 1
                unsafe next += 1
                if rest == 0 { nextLeaf() }
                current = rest == 0 ? .max : unsafe next.pointee.lower
            }
        }
    }

    @inlinable mutating func nextLeaf() {
        guard let following = leaf.next else { return }
        leaf = following
        unsafe next = leaf.extents
        rest = leaf.count
    }
}

/// Walks over the bounds of two trees together, in O(n + m).
@frozen @usableFromInline
struct Sweep<Bound: FragmentBound, Left: PayloadTraits, Right: PayloadTraits> {
    @usableFromInline var left: Boundaries<Bound, Left>
    @usableFromInline var right: Boundaries<Bound, Right>

    @inlinable init(_ left: Tree<Bound, Left>, _ right: Tree<Bound, Right>) {
        self.left = Boundaries(left)
        self.right = Boundaries(right)
    }

    /// Puts into `result`, an empty tree, the positions for which `keep` holds. It is told whether a position
    /// is in the left and in the right tree, and must be false when it is in neither.
    @inlinable @inline(always)
    mutating func build(_ result: Tree<Bound, NoPayload>, _ keep: (Bool, Bool) -> Bool) {
        var builder = Tree<Bound, NoPayload>.Builder(result)
        var wasKept = false
        var begin: Bound = 0
        while true {
            let position = min(left.current, right.current)
            if position == .max { break }
            left.step(over: position)
            right.step(over: position)
            let isKept = keep(left.isInside, right.isInside)
            if isKept == wasKept { continue }
            if wasKept { builder.append(Extent(begin, position)) }
            begin = position
            wasKept = isKept
        }
        if wasKept { builder.append(Extent(begin, .max)) }
        builder.finish()
    }

    /// Whether there is no position for which `isFound` holds; it must be false when a position is in neither.
    @inlinable @inline(always) mutating func allSatisfy(not isFound: (Bool, Bool) -> Bool) -> Bool {
        while true {
            let position = min(left.current, right.current)
            if position == .max { return true }
            left.step(over: position)
            right.step(over: position)
            if isFound(left.isInside, right.isInside) { return false }
        }
    }
}

/// Walks over the fragments of two trees together and tells every stretch on which nothing changes.
@usableFromInline
struct PayloadSweep<Bound: FragmentBound, Left: PayloadTraits, Right: PayloadTraits> {
    @usableFromInline var left: Cursor<Bound, Left>
    @usableFromInline var right: Cursor<Bound, Right>

    @inlinable init(_ left: Tree<Bound, Left>, _ right: Tree<Bound, Right>) {
        self.left = left.first
        self.right = right.first
    }

    /// Puts into `result`, an empty tree, what `choose` makes of each stretch; nil leaves it out. O(n + m)
    @inlinable func build<Payload: PayloadTraits>(
        _ result: Tree<Bound, Payload>, _ choose: (Fragment<Bound, Left>?, Fragment<Bound, Right>?) -> Payload?
    ) {
        var (left, right) = (left, right)
        var position: Bound = 0
        while left.extent != nil || right.extent != nil {
            let (a, b) = (left.fragment, right.fragment)
            let begin = max(position, min(a?.lowerBound ?? .max, b?.lowerBound ?? .max))
            let inA = a.map { $0.lowerBound <= begin } ?? false
            let inB = b.map { $0.lowerBound <= begin } ?? false
            let endA = a.map { inA ? $0.upperBound : $0.lowerBound } ?? .max
            let endB = b.map { inB ? $0.upperBound : $0.lowerBound } ?? .max
            let end = min(endA, endB)
            let stretch = unsafe Range(uncheckedBounds: (begin, end))
            let payload = choose(inA ? a?.clamped(to: stretch) : nil, inB ? b?.clamped(to: stretch) : nil)
            if let payload { result.appendJoining(Extent(begin, end), payload) }
            if inA, endA == end { left.advance() }
            if inB, endB == end { right.advance() }
            position = end
        }
    }
}
