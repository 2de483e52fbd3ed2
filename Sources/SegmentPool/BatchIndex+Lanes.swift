/// Whose batches are whose, where destinations share the work.
extension BatchIndex {
    /// From now on the batches of a lane are for one destination, and it gets no others but by `handOver`. Destinations
    /// that have no lane go on getting everything.
    public mutating func setOwner(_ slot: Int, lane: UInt16) {
        precondition(Int(lane) < Self.maximumLanes && slot < slots, "a lane and a slot that are there")
        unsafe owners[Int(lane)] = UInt32(slot)
        sharing |= 1 << UInt64(slot)
    }

    /// Whether the batches of a lane are this destination's.
    @_noLocks public func isOwner(_ slot: Int, lane: UInt16) -> Bool {
        let owner = unsafe owners[Int(lane)]
        if owner == Self.everybody { return (sharing >> UInt64(truncatingIfNeeded: slot)) & 1 == 0 }
        return owner == UInt32(truncatingIfNeeded: slot)
            || (sharing >> UInt64(truncatingIfNeeded: slot)) & 1 == 0
    }

    /// Active slots that get a batch of this lane.
    @_noLocks func receivers(of lane: UInt16) -> UInt64 {
        let owner = unsafe owners[Int(lane)]
        guard owner != Self.everybody else { return active & ~sharing }
        return active & (~sharing | 1 << UInt64(owner))
    }

    /// Gives an unsent batch of one sharing destination to another one.
    @_noLocks public mutating func handOver(_ reference: BatchReference, from: Int, to: Int) {
        // First in, then out: a segment that nobody is owed anything in would be free for a moment.
        insertUnsent(to, reference)
        if holds(to) {
            unsafe state(reference.segment).pointee.owedHeld += 1
        } else {
            unsafe state(reference.segment).pointee.owedLoose += 1
        }
        drop(from, reference)
    }
}
