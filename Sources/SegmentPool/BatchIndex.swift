public import Machine
internal import Pcapng
internal import Synchronization

/// The newest-first index over all batches in memory, for the one thread that delivers them.
///
/// Each destination has a slot, and in it one list of segments per worker, newest first, of the segments that hold
/// something it has not been sent; which batches those are, a ``BatchBits`` says. A batch is, per slot, unsent, in
/// flight, or settled. A segment is free again when it is sealed and nobody is owed anything in it.
///
/// Slots that *hold* keep a segment in memory until they have everything. Loose slots (readers that joined a listener,
/// the output file) are served while the segment is there, and lose the rest when it is needed.
@safe public struct BatchIndex: ~Copyable, @unchecked Sendable {
    // Safe because all pointers lead into one region that lives as long as the process, with indices checked at entry.

    /// The memory it orders.
    public let pool: SegmentPool
    let slots: Int
    let workers: Int
    let shares: UnsafeMutablePointer<Share>
    let bitWords: UnsafeMutablePointer<UInt64>
    let wordsPerShare: Int
    let lists: UnsafeMutablePointer<SlotList>
    let intakes: UnsafeMutablePointer<Intake>
    let marks: UnsafeMutablePointer<UInt64>
    /// The slot a lane's batches are for, or `everybody`.
    let owners: UnsafeMutablePointer<UInt32>
    /// Slots that get only the batches of their own lanes.
    var sharing: UInt64 = 0
    var ring: SegmentRing

    /// One destination's list of segments from one worker.
    struct SlotList: BitwiseCopyable {
        var newest = noSegment
        var oldest = noSegment
    }

    /// The segments handed to a worker that are not taken in yet, in order.
    struct Intake: BitwiseCopyable {
        private var places = InlineArray<8, UInt32>(repeating: noSegment)
        private var start = 0
        private(set) var count = 0

        @_noLocks init() {}

        /// The segment being filled, or `noSegment`.
        var first: UInt32 { @_noLocks get { count == 0 ? noSegment : places[start] } }

        @_noLocks mutating func append(_ segment: UInt32) {
            places[(start + count) % 8] = segment
            count += 1
        }

        @_noLocks mutating func removeFirst() {
            start = (start + 1) % 8
            count -= 1
        }
    }

    /// Segments a worker has in hand at least: one it fills, and those waiting in its ring.
    public static let segmentsPerWorker = 3
    /// Segments a worker has in hand at most. At ten gigabits per second eight of 2 MiB last for thirteen milliseconds, in
    /// which the egress thread may have to wait for its CPU; of a small pool they would be too large a part.
    let segmentsInHand: Int
    /// Segments that all writers have in hand.
    var handedOut = 0

    /// Bytes the index takes per segment, for the budget.
    public static func bytesPerSegment(segmentBytes: Int, slots: Int) -> Int {
        let batches = segmentBytes / (Record.overhead + SegmentPool.batchOverhead)
        let perShare = MemoryLayout<Share>.stride + 8 * BatchBits.wordCount(capacity: batches)
        return slots * perShare + MemoryLayout<SegmentState>.stride + SegmentPool.wordStride
    }

    /// Bytes the index takes whatever the number of segments: its lists, and the rounding of its regions to pages.
    public static func fixedBytes(slots: Int, workers: Int) -> Int {
        workers * (slots * MemoryLayout<SlotList>.stride + MemoryLayout<Intake>.stride + 8 * maximumLanes) + 8 * 4096
    }

    /// Nobody in particular.
    static var everybody: UInt32 { @_noLocks get { .max } }

    /// Lanes of a run; their numbers are below.
    public static let maximumLanes = 256

    /// An index with room for `slots` destinations at once.
    public init(pool: SegmentPool, slots: Int, workers: Int) throws(SystemError) {
        precondition(pool.count >= workers * Self.segmentsPerWorker + 1, "every worker needs segments in hand")
        precondition(slots <= Self.maximumSlots, "no more than \(Self.maximumSlots) destinations at once")
        let words = BatchBits.wordCount(capacity: pool.maximumBatches)
        // Every allocation before the first field: a noncopyable value is made whole or not at all.
        let shares = try unsafe allocate(slots * pool.count, filledWith: Share())
        let bitWords = try unsafe allocate(slots * pool.count * words, filledWith: UInt64(0))
        let lists = try unsafe allocate(slots * workers, filledWith: SlotList())
        let intakes = try unsafe allocate(workers, filledWith: Intake())
        let marks = try unsafe allocate(workers * Self.maximumLanes, filledWith: UInt64(0))
        let owners = try unsafe allocate(Self.maximumLanes, filledWith: Self.everybody)
        let states = try unsafe allocate(pool.count, filledWith: SegmentState())
        unsafe (self.shares, self.bitWords, self.lists, self.intakes) = (shares, bitWords, lists, intakes)
        unsafe (self.marks, self.owners) = (marks, owners)
        (self.pool, self.slots, self.workers, wordsPerShare) = (pool, slots, workers, words)
        ring = unsafe SegmentRing(states: states, count: pool.count, available: pool.touched)
        (active, holding, pinning) = (0, 0, 0)
        segmentsInHand = min(max(pool.count / (8 * workers), Self.segmentsPerWorker), 8)
    }

    /// The most destinations, readers included, that can be served at once.
    public static let maximumSlots = 64
    /// Which slots take part, which of them hold segments, and which lend segments to another thread while in flight.
    var active: UInt64
    var holding: UInt64
    var pinning: UInt64
    /// Diverted batches are chosen only when there is nothing else.
    public var divertsLast = false
    /// Of each worker's writers, the places from which on batches are diverted, and how many writers it has.
    var divertedFrom = Int.max
    var writersPerWorker = 1
    /// Slots whose batches may leave memory for the disk.
    var spilling: UInt64 = 0

    // ---- places --------------------------------------------------------------------------------------------------

    @_noLocks func share(_ slot: Int, _ segment: UInt32) -> UnsafeMutablePointer<Share> {
        unsafe shares + (Int(segment) * slots + slot)
    }

    @_noLocks func bits(_ slot: Int, _ segment: UInt32) -> BatchBits {
        unsafe BatchBits(
            bitWords + (Int(segment) * slots + slot) * wordsPerShare, capacity: pool.maximumBatches)
    }

    @_noLocks func list(_ slot: Int, _ worker: Int) -> UnsafeMutablePointer<SlotList> {
        unsafe lists + (slot * workers + worker)
    }

    @_noLocks func intake(_ worker: Int) -> UnsafeMutablePointer<Intake> { unsafe intakes + worker }

    @_noLocks func state(_ segment: UInt32) -> UnsafeMutablePointer<SegmentState> {
        unsafe ring.states + Int(segment)
    }

    @_noLocks func isActive(_ slot: Int) -> Bool { (active >> UInt64(truncatingIfNeeded: slot)) & 1 == 1 }
    @_noLocks func holds(_ slot: Int) -> Bool { (holding >> UInt64(truncatingIfNeeded: slot)) & 1 == 1 }

    /// Takes note of segments that were touched since the last time, and asks for more before they are needed; false once
    /// there is nothing more to come.
    @_noLocks public mutating func admitTouched() -> Bool {
        // Looked at first: what was touched before the growth ended is then certainly seen.
        let isGrowing = pool.isGrowing
        ring.makeAvailable(pool.touched)
        let ahead = max(2, (32 << 20) / pool.segmentBytes)
        if isGrowing, ring.freeCount < ahead { pool.want(min(ring.available + ahead, pool.count)) }
        return isGrowing
    }

    /// Segments that are in use, of all there can be.
    public var usedSegments: Int { @_noLocks get { ring.available - ring.freeCount } }

    /// Segments nobody uses.
    public var freeSegments: Int { @_noLocks get { ring.freeCount } }

    // ---- joining and leaving ------------------------------------------------------------------------------------

    /// A destination joins: every batch taken in from now on is owed to it. `holds` says whether it keeps memory.
    @_noLocks public mutating func join(_ slot: Int, holds: Bool) {
        precondition(!isActive(slot), "a slot is joined once")
        active |= 1 << UInt64(truncatingIfNeeded: slot)
        if holds { holding |= 1 << UInt64(truncatingIfNeeded: slot) }
    }

    /// Batches in flight for this destination are being read by another thread: their segments cannot be taken away.
    @_noLocks public mutating func pin(_ slot: Int) {
        pinning |= 1 << UInt64(truncatingIfNeeded: slot)
    }

    /// A destination leaves; what it was not sent and what is in flight is owed to it no more.
    ///
    /// - Returns: packets that were unsent. What was in flight must have been settled before.
    @_noLocks public mutating func leave(_ slot: Int) -> UInt64 {
        var lost: UInt64 = 0
        while let reference = newest(slot) {
            lost += UInt64(pool.packets(reference))
            drop(slot, reference)
        }
        active &= ~(1 << UInt64(truncatingIfNeeded: slot))
        holding &= ~(1 << UInt64(truncatingIfNeeded: slot))
        spilling &= ~(1 << UInt64(truncatingIfNeeded: slot))
        return lost
    }
}

/// A region of its own for `count` elements, on ordinary pages.
func allocate<Element: BitwiseCopyable>(
    _ count: Int, filledWith element: Element
) throws(SystemError) -> UnsafeMutablePointer<Element> {
    let region = try MemoryRegion(byteCount: max(count, 1) * MemoryLayout<Element>.stride, pages: .off)
    let pointer = unsafe region.base.bindMemory(to: Element.self, capacity: count)
    unsafe pointer.initialize(repeating: element, count: count)
    return unsafe pointer
}
