internal import Machine
internal import SegmentPool

/// A batch that is in the socket and not acknowledged.
struct InFlight: BitwiseCopyable {
    /// Position in the connection's stream right after its last byte.
    var end: UInt64
    var reference: BatchReference
    var packets: UInt32
    var cut: UInt32
    /// Its segment was taken away: it can still be delivered, but not sent again.
    var isOrphan: Bool
    var bytes: UInt32
    /// Last arrival, for the age of what is delivered.
    var arrival: UInt64

    /// A piece that was completely written, ending at this position.
    @_noLocks init(_ note: PieceNote, end: UInt64) {
        self.end = end
        reference = note.reference
        packets = note.packets
        cut = note.cut
        isOrphan = note.isOrphan
        bytes = note.bytes
        arrival = note.arrival
    }
}

/// What is in a connection's socket, first in, first out, in fixed memory.
@safe struct InFlightQueue: ~Copyable {
    // Safe because the memory lives as long as the process and the indices stay within a power of two.
    static let entryBytes = 48
    private let entries: UnsafeMutablePointer<InFlight>
    private let mask: UInt64
    private var head: UInt64 = 0
    private var tail: UInt64 = 0
    private(set) var packets: UInt64 = 0
    private(set) var bytes: UInt64 = 0

    init(capacity: Int) throws(SystemError) {
        precondition(capacity & (capacity - 1) == 0 && MemoryLayout<InFlight>.stride <= Self.entryBytes)
        let region = try MemoryRegion(byteCount: capacity * Self.entryBytes, pages: .off)
        unsafe entries = region.base.bindMemory(to: InFlight.self, capacity: capacity)
        mask = UInt64(capacity - 1)
    }

    var isEmpty: Bool { @_noLocks get { head == tail } }
    var count: Int { @_noLocks get { Int(tail &- head) } }
    var isFull: Bool { @_noLocks get { tail &- head > mask } }
    /// Room for this many more.
    var room: Int { @_noLocks get { Int(mask &+ 1 &- (tail &- head)) } }

    @_noLocks mutating func append(_ entry: InFlight) {
        unsafe entries[Int(tail & mask)] = entry
        tail &+= 1
        packets += UInt64(entry.packets)
        bytes += UInt64(entry.bytes)
    }

    /// The oldest, if it ends at or before this position.
    @_noLocks mutating func popAcknowledged(upTo position: UInt64) -> InFlight? {
        guard head != tail, unsafe entries[Int(head & mask)].end <= position else { return nil }
        return popFirst()
    }

    @_noLocks mutating func popFirst() -> InFlight? {
        guard head != tail else { return nil }
        let entry = unsafe entries[Int(head & mask)]
        head &+= 1
        packets -= UInt64(entry.packets)
        bytes -= UInt64(entry.bytes)
        return entry
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
