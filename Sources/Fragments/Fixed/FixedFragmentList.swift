/// A list of ranges in memory that the caller gives, for the data plane: it never allocates, locks or counts
/// references, so that concrete callers pass `@_noLocks`.
///
/// The ranges lie in one sorted array. With the few ranges such a list holds, moving them is cheaper than any
/// tree, and the memory holds exactly as many ranges as fit in, in whatever order they come. When it is full,
/// an operation that needs one more range throws `FragmentError.full` and changes nothing.
///
/// Throughout, *n* is the number of ranges in the list.
///
/// Safe because the creator promises that the memory is used by nothing else while the list exists, and every
/// access is within its capacity.
@safe public struct FixedFragmentList<Bound: FragmentBound>: ~Copyable {
    @usableFromInline let extents: UnsafeMutablePointer<Extent<Bound>>
    /// The number of ranges that fit in.
    public let capacity: Int
    /// The number of ranges.
    @inlinable public var count: Int { used }
    @usableFromInline var used = 0
    /// No range ends behind this position.
    @inlinable public var limit: Bound { bound }
    @usableFromInline var bound: Bound
    /// The covered length. O(1)
    @inlinable public var lengthSum: Bound { sum }
    @usableFromInline var sum: Bound = 0

    /// The bytes that `capacity` ranges take.
    @inlinable public static func byteCount(capacity: Int) -> Int { capacity * MemoryLayout<Bound>.stride * 2 }

    /// The alignment that the memory must have.
    @inlinable public static var alignment: Int { MemoryLayout<Bound>.alignment }

    /// An empty list over some memory.
    ///
    /// - Parameters:
    ///   - memory: stays the caller's, must outlive the list and must not be used by anybody else meanwhile.
    ///   - limit: no range may end behind it.
    /// - Precondition: the memory is aligned to ``alignment``.
    @unsafe @inlinable public init(memory: UnsafeMutableRawBufferPointer, limit: Bound = .max) {
        capacity = memory.count / MemoryLayout<Extent<Bound>>.stride
        if let base = memory.baseAddress {
            precondition(UInt(bitPattern: base) % UInt(Self.alignment) == 0, "memory is not aligned")
            unsafe extents = base.bindMemory(to: Extent<Bound>.self, capacity: capacity)
        } else {
            unsafe extents = UnsafeMutablePointer(bitPattern: MemoryLayout<Extent<Bound>>.alignment)!
        }
        bound = limit
    }

    @inlinable @inline(always) subscript(stored slot: Int) -> Extent<Bound> {
        get {
            assert(slot >= 0 && slot < used)
            return unsafe extents[slot]
        }
        set {
            assert(slot >= 0 && slot < used)
            unsafe extents[slot] = newValue
        }
    }
}
