/// The bounds of one stored range. Payloads are kept beside, so that a search touches nothing but bounds.
@frozen @usableFromInline
struct Extent<Bound: FragmentBound>: BitwiseCopyable, Hashable, Sendable {
    @usableFromInline var lower: Bound
    @usableFromInline var upper: Bound

    @inlinable @inline(__always) init(_ lower: Bound, _ upper: Bound) {
        self.lower = lower
        self.upper = upper
    }

    @inlinable @inline(__always) var length: Bound { upper &- lower }

    /// The value of an unused slot: it counts as behind every position, so that searches need no count.
    @inlinable @inline(__always) static var unused: Extent { Extent(.max, .max) }
}

/// Sizes of nodes. Searches are unrolled over `stride` groups of `stride`, so these belong together.
@usableFromInline
enum NodeSize {
    /// Entries of a full node.
    @inlinable static var capacity: Int { 64 }
    /// Entries of the leaf of a list that is still small.
    @inlinable static var small: Int { 8 }
    /// Entries per group of a search.
    @inlinable static var stride: Int { 8 }
    /// Below this a node looks for a neighbour to join.
    @inlinable static var sparse: Int { 16 }
    /// Two neighbours join when they do not hold more than this together, so that they do not split soon.
    @inlinable static var joined: Int { 48 }
    /// No tree is higher: each pair of neighbours holds more than eight entries per node on average.
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

    @inlinable @inline(__always) init(sum: Bound = 0, largest: Bound = 0, count: Int = 0) {
        self.sum = sum
        self.largest = largest
        self.count = count
    }

    @inlinable @inline(__always) mutating func add(_ other: Summary) {
        sum &+= other.sum
        largest = max(largest, other.largest)
        count &+= other.count
    }
}
