public import Machine
public import Pcapng
internal import Synchronization

/// When a batch closes, and what is written into its trailer.
public struct BatchLimits: Sendable, Equatable {
    /// Bytes of a batch, trailer included; a single larger record is a batch of its own.
    public var bytes: Int
    /// Records of a batch; 1 makes delivery strictly last in, first out.
    public var packets: UInt32
    /// Nanoseconds from the first record to the close.
    public var time: UInt64

    /// Limits of a batch.
    public init(bytes: Int = 64 << 10, packets: UInt32 = .max, time: UInt64 = 5_000_000) {
        self.bytes = bytes
        self.packets = packets
        self.time = time
    }
}

/// The worker's side of the segment pool: encodes packets into its current segment and closes batches.
///
/// It owns the bytes from `cursor` to the directory of that segment. What lies before the last closed batch's end is
/// immutable and belongs to whoever reads it.
@safe public struct BatchWriter: ~Copyable, @unchecked Sendable {
    // Safe because between taking a segment from the free ring and sealing it no one else writes there, and `cursor`
    // never passes `limit`, which never passes the directory.
    @usableFromInline var cursor: UnsafeMutableRawPointer
    @usableFromInline var limit: UnsafeMutableRawPointer
    @usableFromInline var packets: UInt32 = 0
    @usableFromInline var maximumPackets: UInt32
    /// Frames that became a part of another's record, in the open batch.
    @usableFromInline var mergedFrames: UInt32 = 0
    @usableFromInline var interfaces: UInt32 = 0
    @usableFromInline var leastTime: UInt64 = .max
    @usableFromInline var greatestTime: UInt64 = 0
    @usableFromInline var lastArrival: UInt64 = 0
    @usableFromInline var firstArrival: UInt64 = 0

    private let pool: SegmentPool
    private let table: InterfaceView
    private let counters: Counters
    private let wake: WakeSignal
    private var free: RingConsumer<UInt32>
    private let batchBytes: Int
    private let batchTime: UInt64
    private var trailer: BatchTrailer
    private let shares: ShareBoard
    /// The place whose batches these are; below 0 where each batch gets the next one's lane.
    private let place: Int
    /// What is added to the lane.
    private let laneOffset: UInt16
    private var turn: Int
    /// The next number of each lane.
    private let numbers: UnsafeMutablePointer<UInt64>
    private var batchStart: UnsafeMutableRawPointer
    private var segment: UInt32 = 0
    private var hasSegment = false
    private var ordinal: UInt32 = 0
    /// A batch was published that the egress thread was not woken for.
    private var isUnannounced = false

    /// A writer without a segment yet.
    ///
    /// - Parameters:
    ///   - free: segments handed out by the index, in the order in which they are to be filled.
    ///   - wake: the egress thread's signal.
    ///   - place: the one place on the board that these batches are for; nil for all of them by turns.
    ///   - isDiverted: whether they are in the diverted lanes.
    public init(
        pool: SegmentPool, free: consuming RingConsumer<UInt32>, limits: BatchLimits, run: RunIdentity, worker: UInt16,
        interfaces table: InterfaceView, counters: Counters, wake: WakeSignal,
        shares: ShareBoard = ShareBoard(shares: 0), place: Int? = nil, isDiverted: Bool = false
    ) {
        self.pool = pool
        self.table = table
        self.counters = counters
        self.wake = wake
        self.free = free
        batchBytes = min(limits.bytes, pool.segmentBytes - 4)
        batchTime = limits.time
        maximumPackets = limits.packets
        trailer = BatchTrailer(run: run)
        trailer.worker = worker
        self.shares = shares
        self.place = place ?? -1
        laneOffset = isDiverted ? ShareBoard.divertedLane : 0
        // Workers begin at different shares, so that a slow input does not favour the first.
        turn = shares.count == 0 ? 0 : Int(worker) % shares.count
        unsafe numbers = UnsafeMutablePointer<UInt64>.allocate(capacity: BatchIndex.maximumLanes)
        unsafe numbers.initialize(repeating: 0, count: BatchIndex.maximumLanes)
        unsafe cursor = pool.start(of: 0)
        unsafe limit = cursor
        unsafe batchStart = cursor
    }

    /// Encodes one packet. False if there is no free segment; nothing is written then and it may be tried again.
    ///
    /// - Parameters:
    ///   - time: the packet's own stamp, nanoseconds since 1970 UTC.
    ///   - arrival: now, UTC by the monotonic clock.
    ///   - bytes: `captured` bytes, at most `BlockType.snapshotLength`.
    @_noLocks @inlinable @inline(__always)
    public mutating func append(
        time: UInt64, arrival: UInt64, interface: UInt32, bytes: UnsafeRawPointer, captured: UInt32, original: UInt32
    ) -> Bool {
        let needed = Record.byteCount(captured: Int(captured))
        if unsafe limit - UnsafeMutableRawPointer(cursor) < needed {
            guard makeRoom(needed) else { return false }
        }
        unsafe cursor += Record.write(
            to: cursor, time: time, interface: interface, bytes: bytes, captured: captured, original: original)
        account(time: time, arrival: arrival, interface: interface)
        return true
    }

    /// A record was written: keeps the figures of the open batch.
    @_noLocks @inlinable @inline(__always)
    mutating func account(time: UInt64, arrival: UInt64, interface: UInt32) {
        if packets == 0 { firstArrival = arrival }
        lastArrival = arrival
        packets &+= 1
        leastTime = min(leastTime, time)
        greatestTime = max(greatestTime, time)
        if interface >= interfaces { interfaces = interface &+ 1 }
        if packets == maximumPackets { close() }
    }

    /// Packets in the open batch.
    public var openPackets: UInt32 { @_noLocks get { packets } }

    /// When the open batch must close at the latest, on the clock of `arrival`; .max if there is none.
    public var deadline: UInt64 { @_noLocks get { packets == 0 ? .max : firstArrival &+ batchTime } }

    /// Finds room for a record: in the next batch of this segment, or in the next segment.
    @_noLocks @usableFromInline mutating func makeRoom(_ needed: Int) -> Bool {
        close()
        if hasSegment {
            if openBatch(for: needed) { return true }
            seal()
        }
        guard let next = free.pop() else { return false }
        free.release()
        segment = next
        hasSegment = true
        ordinal = 0
        unsafe cursor = pool.start(of: next)
        return openBatch(for: needed)
    }

    /// Sets the limits of the batch that begins at the cursor; false if the record does not fit the segment any more.
    @_noLocks private mutating func openBatch(for needed: Int) -> Bool {
        unsafe batchStart = cursor
        let segmentEnd = unsafe pool.start(of: segment) + pool.segmentBytes
        let last = unsafe segmentEnd - (4 * (Int(ordinal) + 1) + 96)
        let room = unsafe last - cursor
        guard room >= needed else {
            unsafe limit = cursor
            return false
        }
        unsafe limit = cursor + min(room, max(batchBytes - 96, needed))
        return true
    }

    /// Closes the open batch, if it holds anything, and publishes it.
    @_noLocks @usableFromInline mutating func close() {
        guard packets > 0 else { return }
        trailer.lane = (place >= 0 ? shares.lane(of: place) : shares.nextLane(&turn)) &+ laneOffset
        unsafe trailer.number = numbers[Int(trailer.lane)]
        trailer.packets = packets
        trailer.sourceFrames = packets &+ mergedFrames
        trailer.recordBytes = UInt32(unsafe cursor - batchStart)
        trailer.interfaceCRC = table.checksum(first: Int(interfaces))
        (trailer.leastTime, trailer.greatestTime) = (leastTime, greatestTime)
        (trailer.firstArrival, trailer.lastArrival) = (firstArrival, lastArrival)
        unsafe trailer.write(to: cursor)
        unsafe numbers[Int(trailer.lane)] += 1
        unsafe cursor += 96
        unsafe pool.slot(segment, ordinal).pointee = UInt32(cursor - pool.start(of: segment))
        ordinal += 1
        counters.add(.encoded, UInt64(packets))
        counters.add(.encodedBytes, UInt64(trailer.recordBytes) + 96)
        counters.add(.batches)
        if laneOffset != 0 { counters.add(.diverted, UInt64(packets)) }
        (packets, mergedFrames) = (0, 0)
        (leastTime, greatestTime) = (.max, 0)
        // The next batch begins here; if not even an empty packet fits, the next record goes to another segment.
        if !openBatch(for: Record.overhead) { unsafe limit = cursor }
        unsafe pool.word(of: segment).pointee.store(ordinal, ordering: .releasing)
        isUnannounced = true
    }

    /// Closes the open batch at a quiet moment: when the input pauses or the batch is old enough.
    @_noLocks public mutating func flush() {
        close()
    }

    /// Wakes the egress thread if there is something new for it. It is for the caller to say when, and whether it is urgent;
    /// without it the egress thread comes by in a few milliseconds.
    @_noLocks public mutating func announce(urgently: Bool) {
        if isUnannounced { isUnannounced = !wake.wake(urgently: urgently) }
    }

    /// Leaves the current segment if the egress thread has asked for that: what is in it is too old to stay in memory.
    @_noLocks public mutating func leaveIfAsked() {
        if hasSegment, unsafe pool.leaveWord(of: segment).pointee.load(ordering: .relaxed) != 0 { seal() }
    }

    /// Leaves the current segment for good. Called at the end of a run, and when a segment is full.
    @_noLocks public mutating func seal() {
        close()
        guard hasSegment else { return }
        hasSegment = false
        unsafe limit = cursor
        unsafe pool.word(of: segment).pointee.store(ordinal | PublishedWord.sealed, ordering: .releasing)
        isUnannounced = true
    }
}
