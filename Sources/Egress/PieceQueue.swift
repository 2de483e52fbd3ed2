internal import CMachine
internal import Machine
internal import SegmentPool
internal import SpillCache

/// What a piece of the stream is, beside its bytes.
struct PieceNote: BitwiseCopyable {
    /// Whether it is a batch; headers and statistics are not.
    var isBatch: Bool
    /// Whether some of it is already in the socket.
    var isStarted = false
    /// Its segment was taken away; the bytes are in the connection's own buffer.
    var isOrphan = false
    var reference: BatchReference
    var packets: UInt32
    /// Packets that the classic form cut.
    var cut: UInt32 = 0
    var bytes: UInt32
    var arrival: UInt64
    /// Its identity within the run.
    var number: UInt64 = 0
    var worker: UInt16 = 0
    var lane: UInt16 = 0
    /// Where it lies on disk, if it does.
    var disk = DiskPlace.none

    @_noLocks init(_ pool: SegmentPool, _ reference: BatchReference, bytes: Int) {
        isBatch = true
        self.reference = reference
        self.bytes = UInt32(truncatingIfNeeded: bytes)
        packets = pool.packets(reference)
        arrival = pool.lastArrival(reference)
        number = pool.number(reference)
        worker = pool.worker(reference)
        lane = pool.lane(reference)
    }

    /// A header.
    @_noLocks init() {
        isBatch = false
        reference = BatchReference(segment: 0, ordinal: 0)
        (packets, bytes, arrival) = (0, 0, 0)
    }
}

/// The pieces chosen for a connection and not completely written: the argument of the next `writev`, in fixed memory.
@safe struct PieceQueue: ~Copyable {
    // Safe because the memory lives as long as the process and `count` never passes the capacity.

    /// Most pieces of one scattered write.
    static var capacity: Int { @_noLocks get { 64 } }
    static let byteCount = unsafe capacity * (MemoryLayout<iovec>.stride + MemoryLayout<PieceNote>.stride)

    let vectors: UnsafeMutablePointer<iovec>
    let notes: UnsafeMutablePointer<PieceNote>
    /// First piece that is not completely written, and the end.
    private(set) var first = 0
    private(set) var end = 0

    init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe vectors = region.base.bindMemory(to: iovec.self, capacity: Self.capacity)
        unsafe notes = (region.base + Self.capacity * MemoryLayout<iovec>.stride)
            .bindMemory(to: PieceNote.self, capacity: Self.capacity)
    }

    var isEmpty: Bool { @_noLocks get { first == end } }
    var isFull: Bool { @_noLocks get { end == Self.capacity } }

    @_noLocks mutating func append(_ base: UnsafeMutableRawPointer, _ length: Int, _ note: PieceNote) {
        unsafe vectors[end] = iovec(iov_base: base, iov_len: length)
        unsafe notes[end] = note
        end += 1
    }

    /// Appends bytes that are no batch.
    @_noLocks mutating func append(header base: UnsafeRawPointer, _ length: Int) {
        guard length > 0 else { return }
        unsafe append(UnsafeMutableRawPointer(mutating: base), length, PieceNote())
    }

    /// Takes the first piece if `left` written bytes cover all of it, and lessens `left` by its length. When it returns
    /// nil the rest of `left` has been taken off the first piece.
    @_noLocks mutating func popFinished(_ left: inout Int) -> PieceNote? {
        guard first < end else { return nil }
        let length = unsafe vectors[first].iov_len
        guard left >= length else {
            if left > 0 {
                unsafe vectors[first].iov_base += left
                unsafe vectors[first].iov_len -= left
                unsafe notes[first].isStarted = true
                left = 0
            }
            return nil
        }
        left -= length
        let note = unsafe notes[first]
        first += 1
        if first == end { (first, end) = (0, 0) }
        return note
    }

    /// Removes a batch that was chosen and not begun, or nil if there is none. Headers keep their place: they are valid
    /// wherever they stand.
    @_noLocks mutating func popUntouched() -> PieceNote? {
        var place = end - 1
        while place >= first {
            let note = unsafe notes[place]
            if note.isBatch, !note.isStarted {
                remove(place)
                return note
            }
            place -= 1
        }
        return nil
    }

    /// Removes the last piece, or nil if there is none.
    @_noLocks mutating func popLast() -> PieceNote? {
        guard first < end else { return nil }
        let note = unsafe notes[end - 1]
        remove(end - 1)
        return note
    }

    @_noLocks private mutating func remove(_ place: Int) {
        var next = place + 1
        while next < end {
            unsafe vectors[next - 1] = vectors[next]
            unsafe notes[next - 1] = notes[next]
            next += 1
        }
        end -= 1
        if first == end { (first, end) = (0, 0) }
    }
}
