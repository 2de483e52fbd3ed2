/// Numbered from 0 in the order of positions. Moving an index takes O(1), looking at an element O(log n).
extension FragmentList: RandomAccessCollection {
    /// A fragment with its payload.
    public typealias Element = Fragment<Bound, Payload>
    /// The number of fragments that lie before.
    public typealias Index = Int

    /// The number of fragments. O(1)
    @inlinable public var count: Int { withTree { $0.total.count } }

    /// Zero.
    @inlinable public var startIndex: Int { 0 }

    /// The number of fragments. O(1)
    @inlinable public var endIndex: Int { count }

    /// Fragment number `index`. O(log n)
    @inlinable public subscript(index: Int) -> Fragment<Bound, Payload> {
        precondition(index >= 0 && index < count, "index out of range")
        return withTree { tree in
            let place = tree.place(rank: index)
            return place.leaf.fragment(place.slot)
        }
    }

    /// The first fragment. O(1)
    @inlinable public var first: Fragment<Bound, Payload>? {
        withTree { $0.total.count == 0 ? nil : $0.head.fragment(0) }
    }

    /// The last fragment. O(1)
    @inlinable public var last: Fragment<Bound, Payload>? {
        withTree { $0.total.count == 0 ? nil : $0.tail.fragment($0.tail.count - 1) }
    }

    /// Walks from the first fragment to the last, O(1) per step.
    @inlinable public func makeIterator() -> FragmentIterator<Bound, Payload> {
        FragmentIterator(owner, withTree { $0.first }, before: .max)
    }

    /// The fragments from the last to the first, O(1) per step.
    @inlinable public func reversed() -> ReversedFragments<Bound, Payload> { ReversedFragments(list: self) }

    /// The fragments that have a position in common with `range`, in order; O(log n), then O(1) per step.
    @inlinable public func fragments(overlapping range: Range<Bound>) -> FragmentSequence<Bound, Payload> {
        FragmentSequence(list: self, range: range)
    }
}

/// Walks through a list as it was when the walk began.
public struct FragmentIterator<Bound: FragmentBound, Payload: PayloadTraits>: IteratorProtocol {
    @usableFromInline let owner: TreeOwner<Bound, Payload>
    @usableFromInline var cursor: Cursor<Bound, Payload>
    /// The walk ends before the first fragment that begins here or behind.
    @usableFromInline let stop: Bound

    @inlinable init(_ owner: TreeOwner<Bound, Payload>, _ cursor: Cursor<Bound, Payload>, before stop: Bound) {
        self.owner = owner
        self.cursor = cursor
        self.stop = stop
    }

    /// The next fragment in order. O(1)
    @inlinable @inline(always) public mutating func next() -> Fragment<Bound, Payload>? {
        guard let fragment = cursor.fragment, fragment.lowerBound < stop else { return nil }
        cursor.advance()
        return fragment
    }
}

/// The fragments of a list that overlap a range. It holds the list as it was.
public struct FragmentSequence<Bound: FragmentBound, Payload: PayloadTraits>: Sequence {
    @usableFromInline let list: FragmentList<Bound, Payload>
    @usableFromInline let range: Range<Bound>

    @inlinable init(list: FragmentList<Bound, Payload>, range: Range<Bound>) {
        self.list = list
        self.range = range
    }

    /// Starts at the first fragment that ends behind the beginning of the range. O(log n)
    @inlinable public func makeIterator() -> FragmentIterator<Bound, Payload> {
        let place = range.isEmpty ? nil : list.withTree { $0.firstPlace(endingAfter: range.lowerBound) }
        return FragmentIterator(list.owner, Cursor(place), before: range.upperBound)
    }
}

/// The fragments of a list from the last to the first. It holds the list as it was.
public struct ReversedFragments<Bound: FragmentBound, Payload: PayloadTraits>: Sequence, IteratorProtocol {
    @usableFromInline let list: FragmentList<Bound, Payload>
    @usableFromInline var cursor: Cursor<Bound, Payload>

    @inlinable init(list: FragmentList<Bound, Payload>) {
        self.list = list
        cursor = list.withTree { tree in
            Cursor(tree.total.count == 0 ? nil : Place(tree.tail, tree.tail.count &- 1))
        }
    }

    /// The next fragment, further down. O(1)
    @inlinable public mutating func next() -> Fragment<Bound, Payload>? {
        guard let fragment = cursor.fragment else { return nil }
        cursor.retreat()
        return fragment
    }
}

extension FragmentIterator: @unchecked Sendable where Payload: Sendable {}
extension FragmentSequence: Sendable where Payload: Sendable {}
extension ReversedFragments: @unchecked Sendable where Payload: Sendable {}

extension FragmentList: Equatable where Payload: Equatable {
    /// Whether both hold the same fragments. Limits are not compared. O(n); O(1) for copies of one list.
    @inlinable public static func == (left: FragmentList, right: FragmentList) -> Bool {
        if left.owner === right.owner { return true }
        return left.count == right.count && left.lengthSum == right.lengthSum && left.elementsEqual(right)
    }
}

extension FragmentList: Hashable where Payload: Hashable {
    /// Feeds the number of fragments and each of them. O(n)
    @inlinable public func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        for fragment in self { hasher.combine(fragment) }
    }
}

extension FragmentList: CustomStringConvertible {
    /// The fragments in brackets. O(n)
    public var description: String { "[" + map { "\($0)" }.joined(separator: ", ") + "]" }
}
