/// Batches that are owed although they were settled, or came in before the destination did.
extension BatchIndex {
    /// Which use of a segment this is: it changes when the segment is handed out again.
    @_noLocks public func age(of segment: UInt32) -> UInt64 { unsafe state(segment).pointee.age }

    /// Makes a settled batch unsent again.
    ///
    /// - Parameter age: that of its segment when it was settled.
    /// - Returns: false, with nothing done, if the segment has been given up since, so that there is no copy any more.
    @_noLocks public mutating func restore(_ slot: Int, _ reference: BatchReference, age: UInt64) -> Bool {
        let entry = unsafe state(reference.segment)
        guard isActive(slot), unsafe entry.pointee.inUse, unsafe entry.pointee.age == age,
            unsafe reference.ordinal < entry.pointee.batches, !bits(slot, reference.segment).contains(reference.ordinal)
        else { return false }
        owe(slot, reference)
        return true
    }

    /// Makes every batch unsent that memory still has, for a destination that has just joined.
    ///
    /// - Returns: the packets in them.
    @_noLocks public mutating func oweAll(_ slot: Int) -> UInt64 {
        var packets: UInt64 = 0
        var segment = ring.oldest
        while segment != noSegment {
            let batches = unsafe state(segment).pointee.batches
            var ordinal: UInt32 = 0
            while ordinal < batches {
                let reference = BatchReference(segment: segment, ordinal: ordinal)
                owe(slot, reference)
                packets += UInt64(pool.packets(reference))
                ordinal += 1
            }
            if segment == ring.newest { break }
            segment = unsafe state(segment).pointee.newer
        }
        return packets
    }

    @_noLocks private mutating func owe(_ slot: Int, _ reference: BatchReference) {
        insertUnsent(slot, reference)
        if holds(slot) {
            unsafe state(reference.segment).pointee.owedHeld += 1
        } else {
            unsafe state(reference.segment).pointee.owedLoose += 1
        }
    }

    /// A sharing destination leaves: what its lanes still bring is another one's from now on.
    public mutating func bequeath(from slot: Int, to heir: Int) {
        for lane in 0..<Self.maximumLanes where unsafe owners[lane] == UInt32(slot) {
            unsafe owners[lane] = UInt32(heir)
        }
        sharing &= ~(1 << UInt64(slot))
    }
}
