/// The bounds of one stored range. Payloads are kept beside, so that a search touches nothing but bounds.
@frozen @usableFromInline
struct Extent<Bound: FragmentBound>: BitwiseCopyable, Hashable, Sendable {
    @usableFromInline var lower: Bound
    @usableFromInline var upper: Bound

    @inlinable @inline(always) init(_ lower: Bound, _ upper: Bound) {
        self.lower = lower
        self.upper = upper
    }

    @inlinable @inline(always) var length: Bound { upper &- lower }

    /// The value of an unused slot: it counts as behind every position, so that searches need no count.
    @inlinable @inline(always) static var unused: Extent { Extent(.max, .max) }
}

/// Sizes of nodes. The searches in `Leaf` and `Inner` are unrolled for them.
@usableFromInline
enum NodeSize {
    /// Ranges of a full leaf.
    @inlinable static var leaf: Int { 64 }
    /// Ranges of the leaf of a list that is still small.
    @inlinable static var smallLeaf: Int { 8 }
    /// Subtrees of a full inner node.
    @inlinable static var inner: Int { 64 }
    /// With less than a quarter of its capacity a node looks for a neighbour to join.
    @inlinable static func sparse(_ capacity: Int) -> Int { capacity / 4 }
    /// Two neighbours join when they do not hold more than this together, so that they do not split soon.
    @inlinable static func joined(_ capacity: Int) -> Int { capacity * 3 / 4 }
    /// No tree is higher: two neighbours hold a quarter of a node together, so each level divides by four or more.
    @inlinable static var maximumHeight: Int { 24 }
}

/// What an inner node knows about one of its subtrees.
@frozen @usableFromInline
struct Summary<Bound: FragmentBound>: BitwiseCopyable, Equatable {
    /// Total length of all ranges.
    @usableFromInline var sum: Bound
    /// Length of the longest range.
    @usableFromInline var largest: Bound
    /// Number of ranges.
    @usableFromInline var count: Int

    @inlinable @inline(always) init(sum: Bound = 0, largest: Bound = 0, count: Int = 0) {
        self.sum = sum
        self.largest = largest
        self.count = count
    }

    @inlinable @inline(always) mutating func add(_ other: Summary) {
        sum &+= other.sum
        largest = max(largest, other.largest)
        count &+= other.count
    }
}
