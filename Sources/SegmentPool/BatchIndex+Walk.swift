/// Walking over what a destination has not been sent, from old to new within each worker, without changing it.
extension BatchIndex {
    /// The oldest unsent batch of a worker.
    @_noLocks public func firstUnsent(_ slot: Int, worker: Int) -> BatchReference? {
        let segment = unsafe list(slot, worker).pointee.oldest
        guard segment != noSegment else { return nil }
        return BatchReference(segment: segment, ordinal: bits(slot, segment).least)
    }

    /// The unsent batch of the same worker after this one, which must be unsent, too.
    @_noLocks public func nextUnsent(_ slot: Int, after reference: BatchReference) -> BatchReference? {
        let (members, end) = unsafe (bits(slot, reference.segment), state(reference.segment).pointee.batches)
        var ordinal = reference.ordinal + 1
        while ordinal < end {
            if members.contains(ordinal) { return BatchReference(segment: reference.segment, ordinal: ordinal) }
            ordinal += 1
        }
        let newer = unsafe share(slot, reference.segment).pointee.newer
        guard newer != noSegment else { return nil }
        return BatchReference(segment: newer, ordinal: bits(slot, newer).least)
    }

    /// Calls `body` for every batch that memory has, whoever is owed it.
    public func forEachHeld(_ body: (BatchReference) -> Void) {
        var segment = ring.oldest
        while segment != noSegment {
            for ordinal in 0..<(unsafe state(segment).pointee.batches) {
                body(BatchReference(segment: segment, ordinal: ordinal))
            }
            if segment == ring.newest { break }
            segment = unsafe state(segment).pointee.newer
        }
    }
}
