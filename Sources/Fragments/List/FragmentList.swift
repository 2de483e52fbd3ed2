/// An ordered list of disjoint ranges within a limit, each with a payload.
///
/// The list is kept in normal form: no range is empty, no two overlap, and no two neighbours that touch may
/// merge (see ``PayloadTraits/mayMerge(_:_:)``). It is a value: a copy costs O(1), and the first change of a
/// copy costs O(n) once. Reading the same value from several threads is safe.
///
/// Elements are numbered from 0 in the order of their positions. `list[n]` takes O(log n); walking through a
/// list, forwards or backwards, takes O(1) per fragment.
///
/// Throughout, *n* is the number of fragments in the list.
@safe public struct FragmentList<Bound: FragmentBound, Payload: PayloadTraits> {
    @usableFromInline var owner: TreeOwner<Bound, Payload>

    @usableFromInline var bound: Bound

    /// No fragment ends behind this position. `Bound.max` means that the limit is not known.
    ///
    /// Change it with ``setLimit(_:)`` or ``ensureLimit(_:)``.
    @inlinable @inline(always) public var limit: Bound { bound }

    /// The limit of a list whose limit is not known.
    @inlinable public static var unlimited: Bound { .max }

    /// An empty list. O(1)
    @inlinable public init(limit: Bound = .max) {
        owner = TreeOwner.make()
        bound = limit
    }

    @inlinable init(owner: TreeOwner<Bound, Payload>, limit: Bound) {
        self.owner = owner
        bound = limit
    }

    /// Reads the tree while its owner is certainly alive.
    @inlinable @inline(always) func withTree<Result>(_ body: (Tree<Bound, Payload>) -> Result) -> Result {
        defer { withExtendedLifetime(owner) {} }
        return body(Tree(owner))
    }

    /// Changes the tree, which is copied first if another list shares it.
    @inlinable @inline(always)
    mutating func withUniqueTree<Result>(_ body: (Tree<Bound, Payload>) -> Result) -> Result {
        if !isKnownUniquelyReferenced(&owner) { makeUnique() }
        defer { withExtendedLifetime(owner) {} }
        return body(Tree(owner))
    }

    @inlinable @inline(never) mutating func makeUnique() {
        let copy = TreeOwner<Bound, Payload>.make()
        withTree { Tree(copy).copy($0) }
        owner = copy
    }
}

extension FragmentList: @unchecked Sendable where Payload: Sendable {}

/// A list of ranges that carry nothing.
public typealias RangeList<Bound: FragmentBound> = FragmentList<Bound, NoPayload>

// MARK: - Figures

extension FragmentList {
    /// The covered length. O(1)
    @inlinable public var lengthSum: Bound { withTree { $0.total.sum } }

    /// The length that is not covered, up to the limit. O(1)
    @inlinable public var missing: Bound { limit &- lengthSum }

    /// Whether every position below the limit is covered. O(1)
    @inlinable public var isComplete: Bool { missing == 0 }

    /// Whether a limit is set. O(1)
    @inlinable public var isLimitKnown: Bool { limit != Self.unlimited }

    /// The end of the last fragment; zero when the list is empty. O(1)
    @inlinable public var end: Bound { withTree { $0.end } }

    /// The length of the longest fragment; zero when the list is empty. O(1)
    @inlinable public var largestLength: Bound { withTree { $0.total.largest } }

    /// The longest fragment, the first one if there are several. O(log n)
    @inlinable public var largest: Fragment<Bound, Payload>? {
        withTree { $0.largestPlace().map { $0.leaf.fragment($0.slot) } }
    }
}

// MARK: - Limit

extension FragmentList {
    /// Sets the limit, up or down. O(1)
    ///
    /// - Throws: `FragmentError.limitBelowContents` when a fragment ends behind it; the limit stays.
    @inlinable public mutating func setLimit(_ limit: Bound) throws(FragmentError<Bound>) {
        if limit < end { throw FragmentError.limitBelowContents(limit: limit, end: end) }
        bound = limit
    }

    /// Raises the limit to `limit`, or sets it when it was not known. A higher limit stays. O(1)
    ///
    /// - Throws: `FragmentError.limitBelowContents` when it was not known, and a fragment ends behind it.
    @inlinable public mutating func ensureLimit(_ limit: Bound) throws(FragmentError<Bound>) {
        if isLimitKnown, limit <= bound { return }
        try setLimit(limit)
    }

    @inlinable @inline(always) func checkLimit(_ upperBound: Bound) throws(FragmentError<Bound>) {
        if upperBound > limit { throw FragmentError.exceedsLimit(upperBound: upperBound, limit: limit) }
    }
}

// MARK: - Whole lists

extension FragmentList {
    /// Removes all fragments; the limit stays. O(n) to free the memory
    @inlinable public mutating func removeAll() { owner = TreeOwner.make() }

    /// Exchanges the contents and limits of two lists. O(1); it cannot fail.
    @inlinable public mutating func swap(with other: inout FragmentList) { Swift.swap(&self, &other) }
}
