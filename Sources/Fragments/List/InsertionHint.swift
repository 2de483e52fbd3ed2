import Synchronization

/// Remembers where an insertion went, so that the next one nearby needs no search.
///
/// Keep one hint per stream of insertions, for example one per connection that fills its part of a file. A
/// hint belongs to no list: used with another list, or after the list has changed its shape there, it is
/// simply of no help.
///
/// It holds addresses inside a list, which are looked at only while the list still has the shape, named by a
/// number that is never given twice, for which the hint was made.
@safe public struct InsertionHint<Bound: FragmentBound, Payload: PayloadTraits>: @unchecked Sendable {
    @usableFromInline static var maximumHeight: Int { 6 }
    @usableFromInline var shape: UInt64 = 0
    @usableFromInline var leaf: Leaf<Bound, Payload>?
    @usableFromInline var slot = 0
    @usableFromInline var fence: Bound = 0
    @usableFromInline var path: [PathStep<Bound, Payload>] = []

    /// A hint that knows nothing yet.
    public init() {}
}

/// Numbers for shapes of trees. Zero is no number.
private let lastShape = Atomic<UInt64>(0)

/// A number no shape of any tree has had. 64 bits do not run out.
@usableFromInline func newShape() -> UInt64 { lastShape.add(1, ordering: .relaxed).newValue }

extension FragmentList {
    /// Inserts a fragment, beginning the search where the last insertion with this hint went.
    ///
    /// - Returns: the length that was not covered before.
    /// - Throws: as `insert` without a hint.
    /// - Complexity: without any search, O(height) to keep the sums, when the fragment lies between the same
    ///   two neighbours as the last one, or prolongs it; else as `insert` without a hint.
    @inlinable @discardableResult
    public mutating func insert(
        _ fragment: Fragment<Bound, Payload>, hint: inout InsertionHint<Bound, Payload>
    ) throws(FragmentError<Bound>) -> Bound {
        try checkLimit(fragment.upperBound)
        if fragment.isEmpty { return 0 }
        if hint.shape != 0, withUniqueTree({ $0.insert(fragment, at: &hint) }) { return fragment.length }
        let covered = try insert(fragment)
        withUniqueTree { $0.note(fragment.upperBound, in: &hint) }
        return covered
    }
}

extension FragmentList where Payload == NoPayload {
    /// Covers a range, beginning the search where the last insertion with this hint went.
    ///
    /// - Returns: the length that was not covered before.
    /// - Throws: `FragmentError.exceedsLimit`; the list is unchanged.
    /// - Complexity: as for a fragment with a hint.
    @inlinable @discardableResult
    public mutating func insert(
        _ range: Range<Bound>, hint: inout InsertionHint<Bound, NoPayload>
    ) throws(FragmentError<Bound>) -> Bound {
        try insert(Fragment(range), hint: &hint)
    }
}

extension Tree {
    /// Inserts at the hint, if it is still good and the fragment fits in there.
    @inlinable @inline(always)
    func insert(_ fragment: Fragment<Bound, Payload>, at hint: inout InsertionHint<Bound, Payload>) -> Bool {
        guard unsafe hint.shape == header.pointee.shape, let leaf = hint.leaf else { return false }
        let slot = hint.slot
        guard slot > 0, slot <= leaf.count, !leaf.isFull else { return false }
        let new = Extent(fragment.lowerBound, fragment.upperBound)
        let before = leaf[slot &- 1]
        guard new.lower >= before.upper, new.upper < (slot < leaf.count ? leaf[slot].lower : hint.fence) else {
            return false
        }
        let isProlonged =
            new.lower == before.upper
            && (Payload.mergesAlways || Payload.mayMerge(leaf.fragment(slot &- 1), fragment))
        // Where it touches what it does not prolong, the payload's merge has a say.
        if !isProlonged, new.lower == before.upper { return false }
        for depth in hint.path.indices { unsafe path[depth] = hint.path[depth] }
        if isProlonged {
            let joined = Extent(before.lower, new.upper)
            leaf[slot &- 1] = joined
            add(Summary(sum: new.length, largest: joined.length))
            refreshEnd(leaf)
        } else {
            place(new, fragment.payload, in: leaf, at: slot)
            hint.slot = slot &+ 1
        }
        return true
    }

    /// Notes the place behind the fragment that ends at or contains the position before `end`.
    @inlinable @inline(never) func note(_ end: Bound, in hint: inout InsertionHint<Bound, Payload>) {
        hint.shape = 0
        guard height <= InsertionHint<Bound, Payload>.maximumHeight else { return }
        let (leaf, fence) = descend(before: end)
        let slot = leaf.firstSlot(endingAtOrAfter: end)
        hint.leaf = leaf
        hint.fence = fence
        hint.slot = min(slot &+ 1, leaf.count)
        hint.path.removeAll(keepingCapacity: true)
        for depth in 0..<height { hint.path.append(step(depth)) }
        if unsafe header.pointee.shape == 0 { unsafe header.pointee.shape = newShape() }
        hint.shape = unsafe header.pointee.shape
    }
}
