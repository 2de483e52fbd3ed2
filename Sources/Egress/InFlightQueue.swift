internal import Machine
internal import SegmentPool
internal import SpillCache
internal import Transfer

/// A batch that is in the socket and not acknowledged.
struct InFlight: BitwiseCopyable {
    /// Position in the connection's stream right after its last byte.
    var end: UInt64
    var reference: BatchReference
    /// Its identity within the run.
    var number: UInt64
    var worker: UInt16
    var lane: UInt16
    var packets: UInt32
    var cut: UInt32
    var bytes: UInt32
    /// Last arrival, for the age of what is delivered.
    var arrival: UInt64
    /// Its segment was taken away: it can still be delivered, but not sent again.
    var isOrphan: Bool
    /// The file it lay in was taken away: the same.
    var isExpired = false
    /// Where it lies on disk, if it does: it is owed from there.
    var disk = DiskPlace.none
    /// Its run's place among all runs.
    var run: UInt16 = 0
    /// It was sent from disk.
    var isReplayed = false
    /// Acknowledged out of turn; nothing is to be done with it any more.
    var isSettled = false

    /// A piece that was completely written, ending at this position.
    @_noLocks init(_ note: PieceNote, end: UInt64) {
        self.end = end
        reference = note.reference
        number = note.number
        worker = note.worker
        lane = note.lane
        packets = note.packets
        cut = note.cut
        isOrphan = note.isOrphan
        bytes = note.bytes
        arrival = note.arrival
        disk = note.disk
    }

    /// A batch that was completely sent from disk.
    @_noLocks init(_ batch: DiskBatch, at place: DiskPlace, run: UInt16 = 0, end: UInt64) {
        self.end = end
        reference = BatchReference(segment: .max, ordinal: 0)
        (number, worker, lane) = (batch.number, batch.worker, batch.lane)
        (packets, bytes, arrival) = (batch.packets, batch.bytes, batch.arrival)
        (cut, isOrphan) = (0, true)
        (disk, isReplayed) = (place, true)
        self.run = run
    }
}

/// What is in a connection's socket, in fixed memory, in the order in which it was written. TCP acknowledges from the
/// front; a collector acknowledges in any order.
@safe struct InFlightQueue: ~Copyable {
    // Safe because the memory lives as long as the process and the indices stay within a power of two.
    static let entryBytes = 64
    private let entries: UnsafeMutablePointer<InFlight>
    private let mask: UInt64
    private var head: UInt64 = 0
    private var tail: UInt64 = 0
    private(set) var packets: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    /// Packets that are owed from disk.
    private(set) var diskPackets: UInt64 = 0
    /// Entries that are not settled.
    private(set) var count = 0

    init(capacity: Int) throws(SystemError) {
        precondition(capacity & (capacity - 1) == 0 && MemoryLayout<InFlight>.stride <= Self.entryBytes)
        let region = try MemoryRegion(byteCount: capacity * Self.entryBytes, pages: .off)
        unsafe entries = region.base.bindMemory(to: InFlight.self, capacity: capacity)
        mask = UInt64(capacity - 1)
    }

    var isEmpty: Bool { @_noLocks get { count == 0 } }
    /// Room for this many more.
    var room: Int { @_noLocks get { Int(mask &+ 1 &- (tail &- head)) } }

    @_noLocks mutating func append(_ entry: InFlight) {
        unsafe entries[Int(tail & mask)] = entry
        tail &+= 1
        count += 1
        packets += UInt64(entry.packets)
        bytes += UInt64(entry.bytes)
        if entry.disk.isSomewhere { diskPackets += UInt64(entry.packets) }
    }

    /// The oldest, if it ends at or before this position.
    @_noLocks mutating func popAcknowledged(upTo position: UInt64) -> InFlight? {
        guard head != tail, unsafe entries[Int(head & mask)].end <= position else { return nil }
        return popFirst()
    }

    /// The oldest that is not settled.
    @_noLocks mutating func popFirst() -> InFlight? {
        trim()
        guard head != tail else { return nil }
        let entry = unsafe entries[Int(head & mask)]
        head &+= 1
        forget(entry)
        return entry
    }

    @_noLocks private mutating func forget(_ entry: InFlight) {
        count -= 1
        packets -= UInt64(entry.packets)
        bytes -= UInt64(entry.bytes)
        if entry.disk.isSomewhere { diskPackets -= UInt64(entry.packets) }
    }

    // ---- acknowledgement in any order ----------------------------------------------------------------------------

    /// Where a search for what a block acknowledges begins.
    var searchStart: UInt64 { @_noLocks get { head } }

    /// Settles the next entry from `place` on that the block names; nil when there is no further one.
    ///
    /// - Parameter run: the place of the block's run among all runs.
    @_noLocks mutating func settleNext(from place: inout UInt64, _ block: RangeBlock, run: UInt16) -> InFlight? {
        while place != tail {
            let entry = unsafe entries[Int(place & mask)]
            place &+= 1
            guard !entry.isSettled, entry.worker == block.worker, entry.lane == block.lane,
                entry.run == run, block.contains(entry.number)
            else { continue }
            unsafe entries[Int((place &- 1) & mask)].isSettled = true
            forget(entry)
            return entry
        }
        return nil
    }

    /// Lets go of settled entries at the front.
    @_noLocks mutating func trim() {
        while head != tail, unsafe entries[Int(head & mask)].isSettled { head &+= 1 }
    }

    /// Moves what is not settled together when the settled ones between take up the room.
    @_noLocks mutating func makeRoom() {
        guard room == 0, count <= Int(mask) / 2 else { return }
        var (source, target) = (head, head)
        while source != tail {
            let entry = unsafe entries[Int(source & mask)]
            if !entry.isSettled {
                unsafe entries[Int(target & mask)] = entry
                target &+= 1
            }
            source &+= 1
        }
        tail = target
    }

    /// Adds the batches of a segment that are only in memory to a set of its ordinals.
    @_noLocks func addOrdinals(of segment: UInt32, to words: UnsafeMutablePointer<UInt64>) {
        var index = head
        while index != tail {
            let entry = unsafe entries[Int(index & mask)]
            index &+= 1
            guard !entry.isSettled, !entry.isOrphan, entry.reference.segment == segment else { continue }
            unsafe words[Int(entry.reference.ordinal >> 6)] |= 1 << UInt64(entry.reference.ordinal & 63)
        }
    }

    /// The next entry from `place` on that is one of these batches in memory; from now on it is owed from disk.
    @_noLocks mutating func moveNext(
        from place: inout UInt64, _ first: BatchReference, count: UInt32, to start: DiskPlace
    ) -> InFlight? {
        while place != tail {
            let entry = unsafe entries + Int(place & mask)
            place &+= 1
            guard unsafe !entry.pointee.isSettled, unsafe !entry.pointee.isOrphan,
                unsafe entry.pointee.reference.segment == first.segment
            else { continue }
            let ordinal = unsafe entry.pointee.reference.ordinal &- first.ordinal
            guard ordinal < count else { continue }
            unsafe entry.pointee.isOrphan = true
            unsafe entry.pointee.disk = DiskPlace(file: start.file, ordinal: start.ordinal + ordinal)
            diskPackets += UInt64(unsafe entry.pointee.packets)
            return unsafe entry.pointee
        }
        return nil
    }

    /// A file is gone: what is in flight of it cannot be sent again. Returns the packets of that.
    mutating func letGo(ofFile file: UInt32) -> UInt64 {
        var (packets, index): (UInt64, UInt64) = (0, head)
        while index != tail {
            let entry = unsafe entries + Int(index & mask)
            index &+= 1
            guard unsafe !entry.pointee.isSettled, unsafe entry.pointee.disk.file == file else { continue }
            unsafe entry.pointee.disk = .none
            unsafe entry.pointee.isExpired = true
            packets += UInt64(unsafe entry.pointee.packets)
        }
        diskPackets -= packets
        return packets
    }

    /// Goes over everything that is owed from disk.
    func forEachOnDisk(_ body: (DiskPlace) -> Void) {
        var index = head
        while index != tail {
            let entry = unsafe entries[Int(index & mask)]
            index &+= 1
            if !entry.isSettled, entry.disk.isSomewhere { body(entry.disk) }
        }
    }

    /// The segment is taken away: its batches in the socket can no longer be sent again.
    @_noLocks mutating func orphan(segment: UInt32) {
        var index = head
        while index != tail {
            if unsafe entries[Int(index & mask)].reference.segment == segment {
                unsafe entries[Int(index & mask)].isOrphan = true
            }
            index &+= 1
        }
    }
}
