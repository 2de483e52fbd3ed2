internal import Glibc
public import Machine
internal import Pcapng
public import Synchronization

/// The large buffer: segments of one size in one region, allocated and touched once.
///
/// This is only the memory and what both sides must agree on. A worker writes a segment through ``BatchWriter``; the
/// egress thread keeps order over all of them in ``BatchIndex``. Between them stand one ring of free segments per worker
/// and one published word per segment, and nothing else.
///
/// A segment is a slotted page: batches grow from its start, and the end offset of each (UInt32) grows down from its
/// end, so that any batch is found by its ordinal.
@safe public struct SegmentPool: @unchecked Sendable {
    // Safe because the region lives as long as the process, and at any time a byte of it has one owner.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let words: UnsafeMutableRawPointer
    private let region: MemoryRegion
    private let touchedWord: UnsafePointer<Atomic<Int>>
    private let wantedWord: UnsafePointer<Atomic<Int>>
    private let request: WakeSignal
    /// Set when no more segments will be touched.
    private let growth = StopFlag()

    /// Bytes of one segment.
    public let segmentBytes: Int
    /// Number of segments.
    public let count: Int
    /// What pages the memory is on.
    public let pages: PageKind

    /// Bytes around a batch's records: its trailer and its slot in the directory.
    public static var batchOverhead: Int { @_noLocks @inlinable get { 100 } }
    /// The smallest segment that can hold the largest record.
    public static let minimumSegmentBytes = 512 << 10
    /// The largest segment whose batches a ``BatchBits`` can name.
    public static let maximumSegmentBytes = 32 << 20
    /// Bytes between two published words, so that two workers never write the same line.
    static let wordStride = 128

    /// Takes the memory: `count` segments of `segmentBytes` (a power of two).
    ///
    /// - Parameter ready: segments to touch before returning; nil for all. The others follow by `touchAsWanted`:
    ///   a run with a large pool need not wait for it, and what is never needed is never zeroed. The index hands out only what
    ///   is touched.
    public init(
        segmentBytes: Int, count: Int, pages: PageKind, node: Int?, ready: Int? = nil
    ) throws(SystemError) {
        precondition(
            (Self.minimumSegmentBytes...Self.maximumSegmentBytes).contains(segmentBytes)
                && segmentBytes & (segmentBytes - 1) == 0, "a segment is a power of two from 512 KiB to 32 MiB")
        let region = try MemoryRegion(byteCount: segmentBytes * count, pages: pages, node: node, touched: false)
        let first = min(ready ?? count, count)
        try region.touch(from: 0, byteCount: first * segmentBytes)
        let touched = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 1)
        let wanted = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 1)
        unsafe touched.initialize(to: Atomic(first))
        unsafe wanted.initialize(to: Atomic(first))
        unsafe (touchedWord, wantedWord) = (UnsafePointer(touched), UnsafePointer(wanted))
        request = try WakeSignal()
        self.region = region
        let words = try MemoryRegion(byteCount: Self.wordStride * count, pages: .off, node: node)
        unsafe (self.base, self.words) = (region.base, words.base)
        maximumBatches = segmentBytes / (Record.overhead + Self.batchOverhead)
        (self.segmentBytes, self.count, self.pages) = (segmentBytes, count, region.pages)
    }

    /// Touches the segments that `init` left untouched as they are wanted, a few at a time, until there are no more. Call it
    /// once, on a thread of its own.
    ///
    /// - Throws: when the kernel has no more memory. What was touched until then can be used.
    public func touchAsWanted() throws(SystemError) {
        defer { growth.set() }
        let step = max(1, (8 << 20) / segmentBytes)
        while touched < count {
            let next = touched
            guard unsafe wantedWord.pointee.load(ordering: .acquiring) > next else {
                waitForWant(beyond: next)
                continue
            }
            let end = min(next + step, count)
            try region.touch(from: next * segmentBytes, byteCount: (end - next) * segmentBytes)
            unsafe touchedWord.pointee.store(end, ordering: .releasing)
        }
    }

    private func waitForWant(beyond touched: Int) {
        request.announceSleep()
        if unsafe wantedWord.pointee.load(ordering: .acquiring) <= touched {
            var descriptor = pollfd(fd: request.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&descriptor, 1, -1)
        }
        request.announceAwake()
    }

    /// Has so many segments touched, counted from the first, if they are not yet. One thread calls this.
    @_noLocks public func want(_ total: Int) {
        guard unsafe wantedWord.pointee.load(ordering: .relaxed) < total else { return }
        unsafe wantedWord.pointee.store(total, ordering: .releasing)
        request.wake()
    }

    /// Whether more segments may be touched yet.
    public var isGrowing: Bool { @_noLocks get { !growth.isSet && touched < count } }

    /// Segments that have been touched so far, from the first.
    public var touched: Int { @_noLocks get { unsafe touchedWord.pointee.load(ordering: .acquiring) } }

    /// The most batches a segment can hold: empty packets, one per batch.
    public let maximumBatches: Int

    /// First byte of a segment.
    @_noLocks @inlinable @inline(__always)
    public func start(of segment: UInt32) -> UnsafeMutableRawPointer {
        unsafe base + Int(segment) * segmentBytes
    }

    /// How many batches of the segment are published, and whether it is sealed, in one word.
    @_noLocks @inlinable @inline(__always)
    func word(of segment: UInt32) -> UnsafePointer<Atomic<UInt32>> {
        unsafe UnsafePointer((words + Int(segment) * 128).assumingMemoryBound(to: Atomic<UInt32>.self))
    }

    /// Not 0 when the worker is asked to leave the segment though there is room in it. On a line of its own.
    @_noLocks func leaveWord(of segment: UInt32) -> UnsafePointer<Atomic<UInt32>> {
        unsafe UnsafePointer((words + Int(segment) * 128 + 64).assumingMemoryBound(to: Atomic<UInt32>.self))
    }

    /// The directory slot of a batch: where it ends, in bytes from the segment's start.
    @_noLocks @inlinable @inline(__always)
    func slot(_ segment: UInt32, _ ordinal: UInt32) -> UnsafeMutablePointer<UInt32> {
        unsafe (start(of: segment) + segmentBytes - 4 * (Int(ordinal) + 1)).assumingMemoryBound(to: UInt32.self)
    }

    /// The bytes of a published batch.
    @_noLocks @inlinable @inline(__always)
    public func batch(_ reference: BatchReference) -> UnsafeRawBufferPointer {
        let end = Int(unsafe slot(reference.segment, reference.ordinal).pointee)
        let begin = reference.ordinal == 0 ? 0 : Int(unsafe slot(reference.segment, reference.ordinal - 1).pointee)
        return unsafe UnsafeRawBufferPointer(start: start(of: reference.segment) + begin, count: end - begin)
    }

    /// The trailer of a published batch.
    @_noLocks @inlinable @inline(__always)
    func trailer(_ reference: BatchReference) -> UnsafeRawPointer {
        let end = Int(unsafe slot(reference.segment, reference.ordinal).pointee)
        return unsafe UnsafeRawPointer(start(of: reference.segment) + end - 96)
    }

    /// Records in a published batch.
    @_noLocks @inlinable
    public func packets(_ reference: BatchReference) -> UInt32 {
        unsafe (trailer(reference) + 40).loadUnaligned(as: UInt32.self)
    }

    /// Number of the worker that made a published batch.
    @_noLocks @inlinable @inline(__always)
    public func worker(_ reference: BatchReference) -> UInt16 {
        unsafe (trailer(reference) + 12).loadUnaligned(as: UInt16.self)
    }

    /// Lane of a published batch.
    @_noLocks @inlinable @inline(__always)
    public func lane(_ reference: BatchReference) -> UInt16 {
        unsafe (trailer(reference) + 14).loadUnaligned(as: UInt16.self)
    }

    /// Number of a published batch.
    @_noLocks @inlinable @inline(__always)
    public func number(_ reference: BatchReference) -> UInt64 {
        unsafe (trailer(reference) + 32).loadUnaligned(as: UInt64.self)
    }

    /// Last arrival in a published batch: what order goes by.
    @_noLocks @inlinable
    public func lastArrival(_ reference: BatchReference) -> UInt64 {
        unsafe (trailer(reference) + 80).loadUnaligned(as: UInt64.self)
    }
}

/// Names a batch in memory: its segment and its place in it.
public struct BatchReference: BitwiseCopyable, Equatable, Sendable {
    /// Number of the segment.
    public var segment: UInt32
    /// 0 for the first batch of the segment.
    public var ordinal: UInt32

    /// The batch with this place in this segment.
    @_noLocks @inlinable @inline(__always)
    public init(segment: UInt32, ordinal: UInt32) {
        self.segment = segment
        self.ordinal = ordinal
    }
}

/// The published word of a segment.
enum PublishedWord {
    /// Set once the worker has left the segment for good.
    static var sealed: UInt32 { @_noLocks @inlinable get { 0x8000_0000 } }
}
