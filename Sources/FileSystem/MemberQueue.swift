internal import CFuse
import Glibc

/// Pieces of memory that the queues of a cluster are made of, used again and again.
///
/// SAFETY: a slab is either in the list or in one queue, and both are used under the lock of the cluster.
@safe final class SlabStore: @unchecked Sendable {
    static let slabBytes = 1 << 18
    private var free: [UnsafeMutableRawPointer] = unsafe []

    func take() -> UnsafeMutableRawPointer {
        unsafe free.popLast() ?? .allocate(byteCount: Self.slabBytes, alignment: 4096)
    }

    func give(_ slab: UnsafeMutableRawPointer) { unsafe free.append(slab) }

    deinit { for index in unsafe free.indices { unsafe free[index].deallocate() } }
}

/// What one member of a cluster is still to get, and a little of what it got: stdio goes back over its buffer when a program
/// changes that after the header was read.
///
/// SAFETY: it owns its slabs; offsets lie between `start` and `end`.
@safe struct MemberQueue: ~Copyable {
    /// The offset in the member's stream of the first byte that is kept, and behind the last one.
    private(set) var start: UInt64 = 0
    private(set) var end: UInt64 = 0
    /// How far the member got.
    private(set) var delivered: UInt64 = 0

    private var slabs: [UnsafeMutableRawPointer] = unsafe []
    private let store: SlabStore
    /// Stretches of the source that gave this member something: where in its own stream they end, where in the source they
    /// began. Those before `delivered` are gone.
    private var marks: [(end: UInt64, source: UInt64)] = []
    private var firstMark = 0
    /// The latest stretch, which ends at `end`; nil before the first one.
    private var lastSource: UInt64?
    /// Where the next byte goes, and how much room is there.
    private var tail: UnsafeMutableRawPointer?
    private var room = 0

    /// How much stays readable behind the member's place.
    static let replayBytes: UInt64 = 1 << 18

    init(_ store: SlabStore) {
        self.store = store
    }

    deinit { for index in unsafe slabs.indices { unsafe store.give(slabs[index]) } }

    /// Where in the source the oldest byte comes from that the member did not get; nil if there is none.
    var oldestSource: UInt64? {
        if firstMark < marks.count { return marks[firstMark].source }
        return end > delivered ? lastSource : nil
    }

    /// Adds a record.
    mutating func append(_ bytes: UnsafeRawPointer, _ count: Int, source: UInt64) {
        if lastSource != source {
            if let lastSource, end > delivered { marks.append((end, lastSource)) }
            lastSource = source
        }
        var done = 0
        while done < count {
            if room == 0 {
                let slab = unsafe store.take()
                unsafe slabs.append(slab)
                unsafe tail = slab
                room = SlabStore.slabBytes
            }
            let part = min(count - done, room)
            unsafe tail!.copyMemory(from: bytes + done, byteCount: part)
            unsafe tail = tail! + part
            room -= part
            done += part
        }
        end += UInt64(count)
    }

    /// The pieces that hold up to so many bytes from an offset on, for one answer.
    func pieces(from offset: UInt64, _ size: Int) -> [iovec] {
        var result: [iovec] = unsafe []
        var position = offset
        let limit = min(end, offset + UInt64(size))
        while position < limit {
            let within = Int(position - start)
            let (slab, at) = (within / SlabStore.slabBytes, within % SlabStore.slabBytes)
            let count = min(Int(limit - position), SlabStore.slabBytes - at)
            unsafe result.append(iovec(iov_base: slabs[slab] + at, iov_len: count))
            position += UInt64(count)
        }
        return unsafe result
    }

    /// The member has everything up to an offset.
    mutating func deliver(upTo offset: UInt64) {
        delivered = max(delivered, offset)
        while firstMark < marks.count, marks[firstMark].end <= delivered { firstMark += 1 }
        if firstMark > 64 && firstMark * 2 > marks.count {
            marks.removeFirst(firstMark)
            firstMark = 0
        }
        while unsafe slabs.count > 1, delivered > start + UInt64(SlabStore.slabBytes) + Self.replayBytes {
            unsafe store.give(slabs.removeFirst())
            start += UInt64(SlabStore.slabBytes)
        }
    }
}
