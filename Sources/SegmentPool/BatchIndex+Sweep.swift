internal import CMachine
internal import Synchronization

/// Segments on their way to disk. While one is being written its batches are not offered to the destinations that can be
/// served from there, and it stays in memory whatever becomes of them.
extension BatchIndex {
    /// What this destination is owed may leave memory for the disk.
    public mutating func allowSpill(_ slot: Int) {
        precondition(slot < slots, "a slot that is there")
        spilling |= 1 << UInt64(slot)
    }

    /// The oldest segment that a worker has left, that holds something owed to destinations that can be served from
    /// disk, and that is not being written.
    @_noLocks public func oldestToSpill() -> UInt32? {
        var segment = ring.oldest
        while segment != noSegment {
            let entry = unsafe state(segment).pointee
            if entry.sealed, !entry.isLent, isOwed(segment, to: spilling) { return segment }
            if segment == ring.newest { break }
            segment = entry.newer
        }
        return nil
    }

    /// Arrival of the first batch of a segment that has one.
    @_noLocks public func firstArrival(inSegment segment: UInt32) -> UInt64 {
        pool.lastArrival(BatchReference(segment: segment, ordinal: 0))
    }

    /// Asks workers to leave the segments they are filling where something has waited since then for destinations that can be
    /// served from disk.
    @_noLocks public func askToLeave(since arrival: UInt64) {
        var worker = 0
        while worker < workers {
            let segment = unsafe intake(worker).pointee.first
            worker += 1
            guard segment != noSegment, unsafe state(segment).pointee.batches > 0,
                firstArrival(inSegment: segment) <= arrival, isOwed(segment, to: spilling)
            else { continue }
            unsafe pool.leaveWord(of: segment).pointee.store(1, ordering: .relaxed)
        }
    }

    /// Batches in a segment.
    @_noLocks public func batchCount(of segment: UInt32) -> UInt32 { unsafe state(segment).pointee.batches }

    /// Words of a set of batches of one segment, one bit each.
    public var wordsPerSet: Int { (pool.maximumBatches + 63) / 64 }

    /// Lends a segment to the thread that writes it, and says which of its batches were not sent to those who can be
    /// served from disk.
    ///
    /// - Parameter unsent: `wordsPerSet` words.
    @_noLocks public mutating func lend(_ segment: UInt32, unsent words: UnsafeMutablePointer<UInt64>) {
        let count = (pool.maximumBatches + 63) / 64
        unsafe spillway_fill(words, 0, 8 * count)
        var remaining = spilling
        while remaining != 0 {
            let slot = remaining.trailingZeroBitCount
            remaining &= remaining - 1
            guard unsafe share(slot, segment).pointee.unsent > 0 else { continue }
            unsafe bits(slot, segment).formUnion(into: words, capacity: pool.maximumBatches)
            unlink(slot, segment)
        }
        unsafe state(segment).pointee.isLent = true
    }

    /// The segment is not read any more; what is still owed in it is offered again.
    @_noLocks public mutating func takeBack(_ segment: UInt32) {
        unsafe state(segment).pointee.isLent = false
        var remaining = spilling
        while remaining != 0 {
            let slot = remaining.trailingZeroBitCount
            remaining &= remaining - 1
            if unsafe share(slot, segment).pointee.unsent > 0 { link(slot, segment) }
        }
        freeIfDone(segment)
    }

    /// Whether the destination was not sent this batch.
    @_noLocks public func isUnsent(_ slot: Int, _ reference: BatchReference) -> Bool {
        bits(slot, reference.segment).contains(reference.ordinal)
    }

    @_noLocks func isHidden(_ slot: Int, _ segment: UInt32) -> Bool {
        unsafe state(segment).pointee.isLent && (spilling >> UInt64(truncatingIfNeeded: slot)) & 1 == 1
    }
}
