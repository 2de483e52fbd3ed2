/// Diverted batches: they have writers of their own, so that whole segments of them can go to disk at once.
extension BatchIndex {
    /// Says which writers make diverted batches: of each worker's, those from the place `first` on.
    public mutating func setDiverted(from first: Int, perWorker: Int) {
        (divertedFrom, writersPerWorker) = (first, perWorker)
    }

    /// Whether a writer makes diverted batches.
    @_noLocks func isDiverted(writer: Int) -> Bool { writer % writersPerWorker >= divertedFrom }

    /// The oldest segment of diverted batches that can be written to disk; nil if there is none.
    @_noLocks public func oldestDivertedToSpill() -> UInt32? {
        var segment = ring.oldest
        while segment != noSegment {
            let entry = unsafe state(segment).pointee
            if entry.sealed, !entry.isLent, isDiverted(writer: Int(entry.worker)), isOwed(segment, to: spilling) {
                return segment
            }
            if segment == ring.newest { break }
            segment = entry.newer
        }
        return nil
    }
}
