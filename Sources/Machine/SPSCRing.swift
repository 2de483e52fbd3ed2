public import CMachine
public import Synchronization

/// The fast ring: wait-free, one producer, one consumer, fixed elements.
///
/// Each side caches the other's index and reloads it only when the ring looks full or empty; what is pushed becomes
/// visible at `publish()`, so a burst costs one store that the other core sees (MCRingBuffer; Lee, Bu, Chandranmenon
/// 2009). The published indices run freely and lie 128 bytes apart, because the adjacent line is prefetched with them.
///
/// | who | may call |
/// | --- | --- |
/// | producer | `push`, `publish`, `free` |
/// | consumer | `pop`, `release`, `isEmpty` |
///
/// The slots live as long as the process (see ``MemoryRegion``), so neither handle needs a reference count.
@safe public struct SPSCRing<Element: BitwiseCopyable>: @unchecked Sendable {
    // Safe because the handles divide the memory between them, and each is handed out once.
    let slots: UnsafeMutablePointer<Element>
    let capacity: Int
    let indices: RingIndices

    /// Takes the memory of a ring; `capacity` is a power of two.
    public init(capacity: Int, node: Int? = nil) throws(SystemError) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a ring's capacity is a power of two")
        let region = try MemoryRegion(byteCount: Self.byteCount(capacity: capacity), pages: .off, node: node)
        unsafe indices = RingIndices(region.base)
        unsafe slots = (region.base + RingIndices.byteCount).bindMemory(to: Element.self, capacity: capacity)
        self.capacity = capacity
    }

    /// Memory a ring takes, for the budget.
    public static func byteCount(capacity: Int) -> Int {
        roundUp(RingIndices.byteCount + capacity * MemoryLayout<Element>.stride, 4096)
    }

    /// The writing end. May be called once.
    public func makeProducer() -> RingProducer<Element> {
        indices.claim(.producer)
        return unsafe RingProducer(slots: slots, capacity: capacity, indices: indices)
    }

    /// The reading end. May be called once.
    public func makeConsumer() -> RingConsumer<Element> {
        indices.claim(.consumer)
        return unsafe RingConsumer(slots: slots, capacity: capacity, indices: indices)
    }
}

/// The two published indices of a ring, each on a line of its own.
@safe @usableFromInline struct RingIndices: BitwiseCopyable {
    @usableFromInline static let byteCount = 512
    /// Elements ever published by the producer.
    @usableFromInline let tail: UnsafePointer<Atomic<UInt64>>
    /// Elements ever released by the consumer.
    @usableFromInline let head: UnsafePointer<Atomic<UInt64>>

    /// Who has a handle already, one bit each.
    private let claims: UnsafePointer<Atomic<UInt64>>

    /// The two ends of a ring.
    enum End: UInt64 { case producer = 1, consumer = 2 }

    /// Enforces that each end is handed out once: two producers would be a data race no test finds reliably.
    func claim(_ end: End) {
        let before = unsafe claims.pointee.bitwiseOr(end.rawValue, ordering: .relaxed).oldValue
        precondition(before & end.rawValue == 0, "the \(end) of a ring was handed out twice")
    }

    init(_ block: UnsafeMutableRawPointer) {
        unsafe (block + 384).initializeMemory(as: UInt64.self, to: 0)
        unsafe claims = UnsafePointer((block + 384).assumingMemoryBound(to: Atomic<UInt64>.self))
        unsafe (block + 128).initializeMemory(as: UInt64.self, to: 0)
        unsafe (block + 256).initializeMemory(as: UInt64.self, to: 0)
        unsafe tail = UnsafePointer((block + 128).assumingMemoryBound(to: Atomic<UInt64>.self))
        unsafe head = UnsafePointer((block + 256).assumingMemoryBound(to: Atomic<UInt64>.self))
    }
}

/// The writing end. Never locks, never waits: a full ring says so at once.
@safe public struct RingProducer<Element: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
    // Safe because the slots outlive the process's threads and only this handle writes between head and head + capacity.
    @usableFromInline let slots: UnsafeMutablePointer<Element>
    @usableFromInline let mask: UInt64
    @usableFromInline let indices: RingIndices
    @usableFromInline var position: UInt64 = 0
    @usableFromInline var knownHead: UInt64 = 0

    init(slots: UnsafeMutablePointer<Element>, capacity: Int, indices: RingIndices) {
        unsafe self.slots = slots
        self.mask = UInt64(capacity - 1)
        self.indices = indices
    }

    /// Writes one element, not yet visible to the consumer; false if the ring is full.
    @inlinable @inline(__always)
    public mutating func push(_ element: Element) -> Bool {
        if position &- knownHead > mask {
            knownHead = unsafe indices.head.pointee.load(ordering: .acquiring)
            if position &- knownHead > mask { return false }
        }
        unsafe slots[Int(truncatingIfNeeded: position & mask)] = element
        position &+= 1
        return true
    }

    /// Writes as many of `count` elements as fit and says how many; not yet visible.
    @inlinable @inline(__always)
    public mutating func push(_ source: UnsafePointer<Element>, count: Int) -> Int {
        var room = Int(truncatingIfNeeded: mask &+ 1 &- (position &- knownHead))
        if room < count {
            knownHead = unsafe indices.head.pointee.load(ordering: .acquiring)
            room = Int(truncatingIfNeeded: mask &+ 1 &- (position &- knownHead))
        }
        let taken = min(room, count)
        let start = Int(truncatingIfNeeded: position & mask)
        let straight = min(taken, Int(truncatingIfNeeded: mask) + 1 - start)
        unsafe spillway_copy(slots + start, source, straight &* MemoryLayout<Element>.stride)
        if straight < taken {
            unsafe spillway_copy(slots, source + straight, (taken - straight) &* MemoryLayout<Element>.stride)
        }
        position &+= UInt64(truncatingIfNeeded: taken)
        return taken
    }

    /// Makes everything pushed so far visible.
    @inlinable @inline(__always)
    public mutating func publish() {
        unsafe indices.tail.pointee.store(position, ordering: .releasing)
    }

    /// Slots that are free at this moment, at least.
    @inlinable
    public mutating func free() -> Int {
        knownHead = unsafe indices.head.pointee.load(ordering: .acquiring)
        return Int(truncatingIfNeeded: mask &+ 1 &- (position &- knownHead))
    }
}

/// The reading end.
@safe public struct RingConsumer<Element: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
    // Safe because only published slots are read, and they stay unwritten until `release()`.
    @usableFromInline let slots: UnsafeMutablePointer<Element>
    @usableFromInline let mask: UInt64
    @usableFromInline let indices: RingIndices
    @usableFromInline var position: UInt64 = 0
    @usableFromInline var knownTail: UInt64 = 0

    init(slots: UnsafeMutablePointer<Element>, capacity: Int, indices: RingIndices) {
        unsafe self.slots = slots
        self.mask = UInt64(capacity - 1)
        self.indices = indices
    }

    /// Takes the oldest published element, or nil. The slot is given back at `release()`.
    @inlinable @inline(__always)
    public mutating func pop() -> Element? {
        if position == knownTail {
            knownTail = unsafe indices.tail.pointee.load(ordering: .acquiring)
            if position == knownTail {
                backOff()
                return nil
            }
        }
        let element = unsafe slots[Int(truncatingIfNeeded: position & mask)]
        position &+= 1
        return element
    }

    /// Takes up to `count` elements and says how many.
    @inlinable @inline(__always)
    public mutating func pop(into target: UnsafeMutablePointer<Element>, count: Int) -> Int {
        if knownTail &- position < UInt64(truncatingIfNeeded: count) {
            knownTail = unsafe indices.tail.pointee.load(ordering: .acquiring)
        }
        let taken = min(Int(truncatingIfNeeded: knownTail &- position), count)
        if taken == 0 {
            backOff()
            return 0
        }
        let start = Int(truncatingIfNeeded: position & mask)
        let straight = min(taken, Int(truncatingIfNeeded: mask) + 1 - start)
        unsafe spillway_copy(target, slots + start, straight &* MemoryLayout<Element>.stride)
        if straight < taken {
            unsafe spillway_copy(target + straight, slots, (taken - straight) &* MemoryLayout<Element>.stride)
        }
        position &+= UInt64(truncatingIfNeeded: taken)
        return taken
    }

    /// Leaves the producer alone for a moment after its ring was found empty. A consumer right on its heels would pull
    /// the line of the tail over after every element; a few pauses let several gather, at a cost of some ten
    /// nanoseconds where there is nothing to do anyway (cf. the backtracking of B-Queue; Wang et al. 2013).
    @inlinable @inline(never)
    func backOff() {
        var left = 16
        while left > 0 {
            spillway_cpu_relax()
            left &-= 1
        }
    }

    /// Gives the slots taken so far back to the producer.
    @inlinable @inline(__always)
    public mutating func release() {
        unsafe indices.head.pointee.store(position, ordering: .releasing)
    }

    /// Whether nothing is published right now.
    @inlinable
    public mutating func isEmpty() -> Bool {
        if position != knownTail { return false }
        knownTail = unsafe indices.tail.pointee.load(ordering: .acquiring)
        return position == knownTail
    }
}
