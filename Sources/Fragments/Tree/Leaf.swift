/// A handle to one leaf: up to 64 ranges in order, and their payloads.
///
/// Safe to use without marks because only the tree that owns the memory makes handles, and a handle never
/// outlives an operation of that tree; slots are asserted.
@frozen @safe @usableFromInline
struct Leaf<Bound: FragmentBound, Payload: PayloadTraits>: Equatable {
    /// Safe because the neighbours belong to the same tree.
    @frozen @safe @usableFromInline
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

    @inlinable @inline(always) init(_ base: UnsafeMutableRawPointer) { unsafe self.base = base }

    @inlinable @inline(always) static func == (left: Leaf, right: Leaf) -> Bool {
        unsafe left.base == right.base
    }

    /// Allocates a leaf with no ranges.
    @inlinable init(capacity: Int) {
        self.init(unclearedCapacity: capacity)
        clear(from: 0)
    }

    /// Marks the slots from one on as unused. The greatest bound has all bits set, so bytes can be filled.
    @inlinable func clear(from slot: Int) {
        let bytes = (capacity - slot) * MemoryLayout<Extent<Bound>>.stride
        unsafe UnsafeMutableRawPointer(extents + slot).initializeMemory(as: UInt8.self, repeating: 0xff, count: bytes)
    }

    /// Allocates a leaf whose slots have all to be filled or cleared.
    @inlinable init(unclearedCapacity capacity: Int) {
        let alignment = max(16, MemoryLayout<Payload>.alignment)
        let bytes = Self.payloadOffset(capacity) + (Self.hasPayloads ? capacity * MemoryLayout<Payload>.stride : 0)
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: alignment)
        unsafe base.initializeMemory(as: Header.self, to: Header(capacity: Int32(capacity)))
        unsafe (base + 32).bindMemory(to: Extent<Bound>.self, capacity: capacity)
    }

    @inlinable @inline(always) static var hasPayloads: Bool { MemoryLayout<Payload>.size != 0 }

    @inlinable @inline(always) static func payloadOffset(_ capacity: Int) -> Int {
        let mask = MemoryLayout<Payload>.alignment &- 1
        return (32 &+ capacity &* MemoryLayout<Extent<Bound>>.stride &+ mask) & ~mask
    }

    @inlinable @inline(always) var header: UnsafeMutablePointer<Header> {
        unsafe base.assumingMemoryBound(to: Header.self)
    }

    @inlinable @inline(always) var extents: UnsafeMutablePointer<Extent<Bound>> {
        unsafe (base + 32).assumingMemoryBound(to: Extent<Bound>.self)
    }

    @inlinable @inline(always) var payloads: UnsafeMutablePointer<Payload> {
        unsafe (base + Self.payloadOffset(capacity)).assumingMemoryBound(to: Payload.self)
    }

    @inlinable @inline(always) var count: Int {
        get { Int(truncatingIfNeeded: unsafe header.pointee.count) }
        nonmutating set { unsafe header.pointee.count = Int32(truncatingIfNeeded: newValue) }
    }

    @inlinable @inline(always) var capacity: Int { Int(truncatingIfNeeded: unsafe header.pointee.capacity) }

    @inlinable @inline(always) var isFull: Bool { unsafe header.pointee.count == header.pointee.capacity }

    @inlinable @inline(always) var next: Leaf? {
        get { unsafe header.pointee.next.map { unsafe Leaf($0) } }
        nonmutating set { unsafe header.pointee.next = newValue?.base }
    }

    @inlinable @inline(always) var previous: Leaf? {
        get { unsafe header.pointee.previous.map { unsafe Leaf($0) } }
        nonmutating set { unsafe header.pointee.previous = newValue?.base }
    }

    @inlinable @inline(always) subscript(slot: Int) -> Extent<Bound> {
        get {
            assert(slot >= 0 && slot < capacity)
            return unsafe extents[slot]
        }
        nonmutating set {
            assert(slot >= 0 && slot < capacity)
            unsafe extents[slot] = newValue
        }
    }

    @inlinable @inline(always) func payload(_ slot: Int) -> Payload {
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
    @inlinable @inline(always) func insert(_ extent: Extent<Bound>, _ payload: Payload, at slot: Int) {
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
    /// Counts without branches, which a random position would make the processor mispredict. The first round
    /// looks at every fourth range of a full-sized leaf: with 64-bit bounds that is one per cache line, so that
    /// all lines are fetched at once. The second round looks at the four in question. Unused slots compare as
    /// behind everything.
    @inlinable @inline(always) func firstSlot(endingAtOrAfter position: Bound) -> Int {
        let all = unsafe extents
        if capacity == NodeSize.smallLeaf {
            return unsafe count4(all, 1, position) &+ count4(all + 4, 1, position)
        }
        let quarters =
            unsafe count4(all + 3, 4, position) &+ count4(all + 19, 4, position)
            &+ count4(all + 35, 4, position) &+ count3(all + 51, 4, position)
        return unsafe quarters &* 4 &+ count4(all + quarters &* 4, 1, position)
    }

    @inlinable @inline(always)
    func count4(_ first: UnsafeMutablePointer<Extent<Bound>>, _ step: Int, _ position: Bound) -> Int {
        unsafe count3(first, step, position) &+ (first[3 &* step].upper < position ? 1 : 0)
    }

    @inlinable @inline(always)
    func count3(_ first: UnsafeMutablePointer<Extent<Bound>>, _ step: Int, _ position: Bound) -> Int {
        let a = unsafe first[0].upper < position ? 1 : 0
        let b = unsafe first[step].upper < position ? 1 : 0
        let c = unsafe first[2 &* step].upper < position ? 1 : 0
        return a &+ b &+ c
    }

    /// The first slot at or behind `slot` whose range begins behind `position`, or `count`.
    @inlinable @inline(always) func firstSlot(from slot: Int, beginningAfter position: Bound) -> Int {
        var slot = slot
        while slot < count, self[slot].lower <= position { slot &+= 1 }
        return slot
    }

    /// Sum, longest and number of all ranges, counted anew. O(capacity).
    @inlinable func total() -> Summary<Bound> { unsafe Self.total(of: UnsafePointer(extents), count) }

    /// Two chains of maxima are followed at a time, since each step waits for the one before.
    @inlinable static func total(of all: UnsafePointer<Extent<Bound>>, _ count: Int) -> Summary<Bound> {
        var (sum, odd, even): (Bound, Bound, Bound) = (0, 0, 0)
        var slot = 0
        while slot &+ 1 < count {
            let (first, second) = unsafe (all[slot].length, all[slot &+ 1].length)
            sum &+= first &+ second
            even = first > even ? first : even
            odd = second > odd ? second : odd
            slot &+= 2
        }
        if slot < count {
            let last = unsafe all[slot].length
            sum &+= last
            even = last > even ? last : even
        }
        return Summary(sum: sum, largest: max(even, odd), count: count)
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
