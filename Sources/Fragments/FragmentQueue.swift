/// A queue of ranges, in the order in which they were put in. Ranges may overlap; nothing is merged.
///
/// It serves requests: what was asked for is put in at the back, what has been answered is erased by range
/// wherever it stands, and the rest is served from the front.
public struct FragmentQueue<Bound: FragmentBound, Payload: PayloadTraits> {
    /// Entries before `head` have been popped; they never make up more than half.
    @usableFromInline var entries: [Fragment<Bound, Payload>] = []
    @usableFromInline var head = 0

    /// An empty queue. O(1)
    @inlinable public init() {}

    /// A queue of the fragments of a sequence; empty ones are left out. O(m)
    @inlinable public init(_ fragments: some Sequence<Fragment<Bound, Payload>>) { append(contentsOf: fragments) }

    /// The sum of the lengths of all entries, overlapping ones counted twice; it wraps around. O(n)
    @inlinable public var lengthSum: Bound { reduce(0) { $0 &+ $1.length } }

    /// Puts a fragment at the back; an empty one is left out. O(1), amortised
    @inlinable public mutating func append(_ fragment: Fragment<Bound, Payload>) {
        if !fragment.isEmpty { entries.append(fragment) }
    }

    /// Puts fragments at the back, in order; empty ones are left out. O(m)
    @inlinable public mutating func append(contentsOf fragments: some Sequence<Fragment<Bound, Payload>>) {
        entries.append(contentsOf: fragments.lazy.filter { !$0.isEmpty })
    }

    /// Takes the fragment at the front; nil when the queue is empty. O(1), amortised
    @inlinable public mutating func popFirst() -> Fragment<Bound, Payload>? {
        guard head < entries.count else { return nil }
        let first = entries[head]
        head += 1
        if head * 2 > entries.count { dropPopped() }
        return first
    }

    /// Removes entry number `index` and returns it. O(n)
    ///
    /// - Precondition: `index` is below `count`.
    @inlinable @discardableResult
    public mutating func remove(at index: Int) -> Fragment<Bound, Payload> {
        precondition(index >= 0 && index < count, "index out of range")
        return entries.remove(at: head + index)
    }

    /// Removes a range from all entries: those inside go, overlapped ones are shortened and keep their place,
    /// one that is cut in the middle keeps its place with its first part, and its tail goes to the back.
    ///
    /// - Returns: the sum of the lengths removed, of overlapping entries counted each; it wraps around.
    /// - Complexity: O(n)
    @inlinable @discardableResult
    public mutating func erase(_ range: Range<Bound>) -> Bound {
        if range.isEmpty { return 0 }
        var kept: [Fragment<Bound, Payload>] = []
        var tails: [Fragment<Bound, Payload>] = []
        var removed: Bound = 0
        for entry in self {
            removed &+= entry.clamped(to: range).length
            if !entry.overlaps(range) {
                kept.append(entry)
            } else if entry.lowerBound < range.lowerBound {
                kept.append(entry.clamped(to: entry.lowerBound..<range.lowerBound))
                if entry.upperBound > range.upperBound {
                    tails.append(entry.clamped(to: range.upperBound..<entry.upperBound))
                }
            } else if entry.upperBound > range.upperBound {
                kept.append(entry.clamped(to: range.upperBound..<entry.upperBound))
            }
        }
        if removed != 0 || kept.count != count { replace(kept + tails) }
        return removed
    }

    /// Removes every range of a list, one after the other. O(n m)
    ///
    /// - Returns: the sum of the lengths removed.
    @inlinable @discardableResult
    public mutating func erase<Other>(contentsOf list: FragmentList<Bound, Other>) -> Bound {
        list.reduce(0) { $0 &+ erase($1.range) }
    }

    /// Removes every entry that overlaps a range and returns these, whole and in order. O(n)
    @inlinable public mutating func extract(_ range: Range<Bound>) -> [Fragment<Bound, Payload>] {
        let extracted = filter { $0.overlaps(range) }
        if !extracted.isEmpty { replace(filter { !$0.overlaps(range) }) }
        return extracted
    }

    /// Removes all entries. O(n)
    @inlinable public mutating func removeAll() { replace([]) }

    /// Exchanges the contents of two queues. O(1); it cannot fail.
    @inlinable public mutating func swap(with other: inout FragmentQueue) { Swift.swap(&self, &other) }

    @inlinable mutating func replace(_ entries: [Fragment<Bound, Payload>]) {
        self.entries = entries
        head = 0
    }

    @inlinable mutating func dropPopped() {
        entries.removeFirst(head)
        head = 0
    }
}

/// Numbered from 0 at the front. All O(1).
extension FragmentQueue: RandomAccessCollection {
    /// Zero.
    @inlinable public var startIndex: Int { 0 }
    /// The number of entries.
    @inlinable public var endIndex: Int { entries.count - head }
    /// Entry number `index` from the front.
    @inlinable public subscript(index: Int) -> Fragment<Bound, Payload> {
        precondition(index >= 0 && index < count, "index out of range")
        return entries[head + index]
    }
}

extension FragmentQueue where Payload == NoPayload {
    /// Puts a range at the back; an empty one is left out. O(1), amortised
    @inlinable public mutating func append(_ range: Range<Bound>) { append(Fragment(range)) }
}

extension FragmentQueue: Sendable where Payload: Sendable {}

extension FragmentQueue: Equatable where Payload: Equatable {
    /// Whether both hold the same fragments in the same order. O(n)
    @inlinable public static func == (left: FragmentQueue, right: FragmentQueue) -> Bool { left.elementsEqual(right) }
}

extension FragmentQueue: Hashable where Payload: Hashable {
    /// Feeds the number of entries and each of them. O(n)
    @inlinable public func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        for entry in self { hasher.combine(entry) }
    }
}

extension FragmentQueue: CustomStringConvertible {
    /// The entries in brackets, from the front. O(n)
    @inlinable public var description: String { "[" + map { "\($0)" }.joined(separator: ", ") + "]" }
}
