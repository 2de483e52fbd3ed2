/// A handle to one leaf: up to 64 ranges in order, and their payloads.
///
/// Safe to use without marks because only the tree that owns the memory makes handles, and a handle never
/// outlives an operation of that tree; slots are asserted.
@frozen @safe @usableFromInline
struct Leaf<Bound: FragmentBound, Payload: PayloadTraits>: Equatable {
    @frozen @usableFromInline
    struct Header {
        @usableFromInline var count: Int32
        @usableFromInline var capacity: Int32
        @usableFromInline var previous: UnsafeMutableRawPointer?
        @usableFromInline var next: UnsafeMutableRawPointer?

        @inlinable init(capacity: Int32) {
            count = 0
            self.capacity = capacity
            unsafe previous = nil
            unsafe next = nil
        }
    }

    @usableFromInline let base: UnsafeMutableRawPointer

    @inlinable @inline(__always) init(_ base: UnsafeMutableRawPointer) { unsafe self.base = base }

    /// Allocates a leaf with no ranges.
    @inlinable init(capacity: Int) {
        let alignment = max(16, MemoryLayout<Payload>.alignment)
        let bytes = Self.payloadOffset(capacity) + (Self.hasPayloads ? capacity * MemoryLayout<Payload>.stride : 0)
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: alignment)
        unsafe base.initializeMemory(as: Header.self, to: Header(capacity: Int32(capacity)))
        unsafe (base + 32).initializeMemory(as: Extent<Bound>.self, repeating: .unused, count: capacity)
    }

    @inlinable @inline(__always) static var hasPayloads: Bool { MemoryLayout<Payload>.size != 0 }

    @inlinable @inline(__always) static func payloadOffset(_ capacity: Int) -> Int {
        let mask = MemoryLayout<Payload>.alignment &- 1
        return (32 &+ capacity &* MemoryLayout<Extent<Bound>>.stride &+ mask) & ~mask
    }

    @inlinable @inline(__always) var header: UnsafeMutablePointer<Header> {
        unsafe base.assumingMemoryBound(to: Header.self)
    }

    @inlinable @inline(__always) var extents: UnsafeMutablePointer<Extent<Bound>> {
        unsafe (base + 32).assumingMemoryBound(to: Extent<Bound>.self)
    }

    @inlinable @inline(__always) var payloads: UnsafeMutablePointer<Payload> {
        unsafe (base + Self.payloadOffset(capacity)).assumingMemoryBound(to: Payload.self)
    }

    @inlinable @inline(__always) var count: Int {
        get { Int(truncatingIfNeeded: unsafe header.pointee.count) }
        nonmutating set { unsafe header.pointee.count = Int32(truncatingIfNeeded: newValue) }
    }

    @inlinable @inline(__always) var capacity: Int { Int(truncatingIfNeeded: unsafe header.pointee.capacity) }

    @inlinable @inline(__always) var isFull: Bool { unsafe header.pointee.count == header.pointee.capacity }

    @inlinable @inline(__always) var next: Leaf? {
        get { unsafe header.pointee.next.map { unsafe Leaf($0) } }
        nonmutating set { unsafe header.pointee.next = newValue?.base }
    }

    @inlinable @inline(__always) var previous: Leaf? {
        get { unsafe header.pointee.previous.map { unsafe Leaf($0) } }
        nonmutating set { unsafe header.pointee.previous = newValue?.base }
    }

    @inlinable @inline(__always) subscript(slot: Int) -> Extent<Bound> {
        get {
            assert(slot >= 0 && slot < capacity)
            return unsafe extents[slot]
        }
        nonmutating set {
            assert(slot >= 0 && slot < capacity)
            unsafe extents[slot] = newValue
        }
    }

    @inlinable @inline(__always) func payload(_ slot: Int) -> Payload {
        assert(slot >= 0 && slot < count)
        return unsafe payloads[slot]
    }

    @inlinable func setPayload(_ slot: Int, _ payload: Payload) {
        assert(slot >= 0 && slot < count)
        if Self.hasPayloads { unsafe payloads[slot] = payload }
    }

    @inlinable func fragment(_ slot: Int) -> Fragment<Bound, Payload> {
        Fragment(extent: self[slot], payload(slot))
    }

    /// Frees the memory and what the payloads hold.
    @inlinable func deallocate() {
        if Self.hasPayloads { unsafe payloads.deinitialize(count: count) }
        unsafe base.deallocate()
    }
}

// MARK: - Moving ranges

extension Leaf {
    /// Opens `slot` and puts a range there. The leaf must not be full.
    @inlinable @inline(__always) func insert(_ extent: Extent<Bound>, _ payload: Payload, at slot: Int) {
        assert(!isFull && slot <= count)
        let tail = count &- slot
        let place = unsafe extents + slot
        unsafe (place + 1).update(from: place, count: tail)
        unsafe place.pointee = extent
        if Self.hasPayloads {
            let payloadPlace = unsafe payloads + slot
            unsafe (payloadPlace + 1).moveInitialize(from: payloadPlace, count: tail)
            unsafe payloadPlace.initialize(to: payload)
        }
        count = count &+ 1
    }

    /// Removes the ranges of some slots, with their payloads.
    @inlinable func remove(_ slots: Range<Int>) {
        assert(slots.upperBound <= count)
        let tail = count - slots.upperBound
        if Self.hasPayloads {
            let place = unsafe payloads + slots.lowerBound
            unsafe place.deinitialize(count: slots.count)
            unsafe place.moveInitialize(from: place + slots.count, count: tail)
        }
        let place = unsafe extents + slots.lowerBound
        unsafe place.update(from: place + slots.count, count: tail)
        unsafe (place + tail).update(repeating: .unused, count: slots.count)
        count = count - slots.count
    }

    /// Moves the ranges from `slot` on to the end of another leaf.
    @inlinable func moveTail(from slot: Int, to other: Leaf) {
        let moved = count - slot
        assert(other.count + moved <= other.capacity)
        unsafe (other.extents + other.count).update(from: extents + slot, count: moved)
        unsafe (extents + slot).update(repeating: .unused, count: moved)
        if Self.hasPayloads {
            unsafe (other.payloads + other.count).moveInitialize(from: payloads + slot, count: moved)
        }
        count = slot
        other.count += moved
    }

    /// Links `other` behind this leaf.
    @inlinable func link(_ other: Leaf) {
        other.next = next
        other.previous = self
        next?.previous = other
        next = other
    }

    /// Takes this leaf out of the chain.
    @inlinable func unlink() {
        previous?.next = next
        next?.previous = previous
    }
}

// MARK: - Searching

extension Leaf {
    /// The slot of the first range that does not end before `position`, or `count`.
    ///
    /// Two rounds of eight independent comparisons; unused slots compare as behind everything.
    @inlinable @inline(__always) func firstSlot(endingAtOrAfter position: Bound) -> Int {
        let all = unsafe extents
        var group = 0
        if capacity != NodeSize.small {
            for k in 1..<8 { group &+= unsafe all[k &* 8 &- 1].upper < position ? 8 : 0 }
        }
        var slot = group
        for k in 0..<8 { slot &+= unsafe all[group &+ k].upper < position ? 1 : 0 }
        return slot
    }

    /// The first slot at or behind `slot` whose range begins behind `position`, or `count`.
    @inlinable @inline(__always) func firstSlot(from slot: Int, beginningAfter position: Bound) -> Int {
        var slot = slot
        while slot < count, self[slot].lower <= position { slot &+= 1 }
        return slot
    }

    /// Sum, longest and number of all ranges, counted anew. O(capacity).
    @inlinable func total() -> Summary<Bound> {
        var summary = Summary<Bound>(count: count)
        for slot in 0..<count {
            let length = self[slot].length
            summary.sum &+= length
            summary.largest = max(summary.largest, length)
        }
        return summary
    }

    /// The longest length; a range of at least `enough` ends the search.
    @inlinable func largest(enough: Bound) -> Bound {
        var largest: Bound = 0
        for slot in 0..<count {
            largest = max(largest, self[slot].length)
            if largest >= enough { break }
        }
        return largest
    }
}
