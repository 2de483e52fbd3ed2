internal import Machine
internal import Pcapng
internal import SegmentPool
internal import Transfer

/// Batches that were to come and will not, until the other side has been told. In fixed memory: what finds no place is not
/// told, which only leaves a hole in the collector's list until the next inventory.
@safe struct GoneQueue: ~Copyable {
    // Safe because the memory lives as long as the process and `count` never passes the capacity.

    /// A range of numbers of one lane.
    struct Entry: BitwiseCopyable {
        var worker: UInt16
        var lane: UInt16
        var reason: UInt32
        var first: UInt64
        var end: UInt64
    }

    static var capacity: Int { @_noLocks get { 64 } }
    static let byteCount = 4096
    private let entries: UnsafeMutablePointer<Entry>
    private var count = 0

    init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe entries = region.base.bindMemory(to: Entry.self, capacity: Self.capacity)
    }

    var isEmpty: Bool { @_noLocks get { count == 0 } }

    /// Takes note of one batch. They come in ascending order, segment by segment, so that they almost always continue a
    /// range that is there.
    @_noLocks mutating func append(worker: UInt16, lane: UInt16, number: UInt64, reason: GoneReason) {
        let code = reason.code
        var place = 0
        while place < count {
            let entry = unsafe entries[place]
            if entry.worker == worker, entry.lane == lane, entry.end == number, entry.reason == code {
                unsafe entries[place].end = number + 1
                return
            }
            place += 1
        }
        guard count < Self.capacity else { return }
        unsafe entries[count] = Entry(
            worker: worker, lane: lane, reason: code, first: number, end: number + 1)
        count += 1
    }

    /// Writes all of them as blocks and forgets them; returns the bytes. One range per block, 72 bytes each.
    @_noLocks mutating func write(run: RunIdentity, to target: UnsafeMutableRawPointer) -> Int {
        var used = 0
        var place = 0
        while place < count {
            let entry = unsafe entries[place]
            var writer = unsafe RangeBlockWriter(
                ControlType.gone, run: run, worker: entry.worker, lane: entry.lane, reason: entry.reason,
                to: target + used, capacity: 72)
            _ = writer.append(entry.first, entry.end)
            used += writer.finish()
            place += 1
        }
        count = 0
        return used
    }

    @_noLocks mutating func clear() { count = 0 }
}
