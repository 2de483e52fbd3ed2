/// What a destination asks the index: what is next for me, and what became of it.
extension BatchIndex {
    /// The newest batch this destination has not been sent, over all workers: by last arrival, then by number.
    @_noLocks public func newest(_ slot: Int) -> BatchReference? {
        guard divertsLast else { return newest(slot, skippingDiverted: false) }
        return newest(slot, skippingDiverted: true) ?? newest(slot, skippingDiverted: false)
    }

    @_noLocks private func newest(_ slot: Int, skippingDiverted: Bool) -> BatchReference? {
        var best = BatchReference(segment: noSegment, ordinal: 0)
        var worker = 0
        while worker < workers {
            let segment = unsafe list(slot, worker).pointee.newest
            if segment != noSegment, !(skippingDiverted && isDiverted(writer: worker)) {
                let reference = BatchReference(segment: segment, ordinal: bits(slot, segment).greatest)
                if best.segment == noSegment || isLater(reference, than: best) { best = reference }
            }
            worker += 1
        }
        return best.segment == noSegment ? nil : best
    }

    /// The oldest batch this destination has not been sent: the same order from its other end.
    @_noLocks public func oldest(_ slot: Int) -> BatchReference? {
        var best = BatchReference(segment: noSegment, ordinal: 0)
        var worker = 0
        while worker < workers {
            let segment = unsafe list(slot, worker).pointee.oldest
            if segment != noSegment {
                let reference = BatchReference(segment: segment, ordinal: bits(slot, segment).least)
                if best.segment == noSegment || !isLater(reference, than: best) { best = reference }
            }
            worker += 1
        }
        return best.segment == noSegment ? nil : best
    }

    /// Whether a batch of a worker comes after one of a worker before it, in the order of docs/format.md.
    @_noLocks private func isLater(_ left: BatchReference, than right: BatchReference) -> Bool {
        let (one, other) = (pool.lastArrival(left), pool.lastArrival(right))
        return one != other ? one > other : pool.number(left) >= pool.number(right)
    }

    /// Marks a batch as chosen: it will not be offered to this destination again unless it is put back.
    @_noLocks public mutating func take(_ slot: Int, _ reference: BatchReference) {
        removeUnsent(slot, reference)
        unsafe share(slot, reference.segment).pointee.inFlight += 1
    }

    /// The chosen batch was not sent after all, or its connection broke: it is unsent again.
    @_noLocks public mutating func putBack(_ slot: Int, _ reference: BatchReference) {
        unsafe share(slot, reference.segment).pointee.inFlight -= 1
        insertUnsent(slot, reference)
    }

    /// The chosen batch is settled: delivered, or given up.
    @_noLocks public mutating func settle(_ slot: Int, _ reference: BatchReference) {
        unsafe share(slot, reference.segment).pointee.inFlight -= 1
        noLongerOwed(slot, reference.segment)
    }

    /// An unsent batch is given up.
    @_noLocks public mutating func drop(_ slot: Int, _ reference: BatchReference) {
        removeUnsent(slot, reference)
        noLongerOwed(slot, reference.segment)
    }

    /// Whether the destination is owed nothing in memory that it has not been sent.
    @_noLocks public func isDrained(_ slot: Int) -> Bool {
        var worker = 0
        while worker < workers {
            if unsafe list(slot, worker).pointee.newest != noSegment { return false }
            worker += 1
        }
        return true
    }

    // ---- lists ---------------------------------------------------------------------------------------------------

    @_noLocks mutating func insertUnsent(_ slot: Int, _ reference: BatchReference) {
        let entry = unsafe share(slot, reference.segment)
        bits(slot, reference.segment).insert(reference.ordinal)
        unsafe entry.pointee.unsent += 1
        if unsafe entry.pointee.unsent == 1, !isHidden(slot, reference.segment) { link(slot, reference.segment) }
    }

    @_noLocks private mutating func removeUnsent(_ slot: Int, _ reference: BatchReference) {
        let entry = unsafe share(slot, reference.segment)
        bits(slot, reference.segment).remove(reference.ordinal)
        unsafe entry.pointee.unsent -= 1
        if unsafe entry.pointee.unsent == 0, !isHidden(slot, reference.segment) { unlink(slot, reference.segment) }
    }

    /// Puts a segment into the destination's list at its age. New segments are newest, so the walk is almost always
    /// over before it begins; only what comes back after a broken connection walks.
    @_noLocks mutating func link(_ slot: Int, _ segment: UInt32) {
        let age = unsafe state(segment).pointee.age
        let ends = unsafe list(slot, Int(state(segment).pointee.worker))
        var older = unsafe ends.pointee.newest
        var newer = noSegment
        while older != noSegment, unsafe state(older).pointee.age > age {
            newer = older
            older = unsafe share(slot, older).pointee.older
        }
        unsafe share(slot, segment).pointee.newer = newer
        unsafe share(slot, segment).pointee.older = older
        if newer == noSegment {
            unsafe ends.pointee.newest = segment
        } else {
            unsafe share(slot, newer).pointee.older = segment
        }
        if older == noSegment {
            unsafe ends.pointee.oldest = segment
        } else {
            unsafe share(slot, older).pointee.newer = segment
        }
    }

    @_noLocks mutating func unlink(_ slot: Int, _ segment: UInt32) {
        let ends = unsafe list(slot, Int(state(segment).pointee.worker))
        let (newer, older) = unsafe (share(slot, segment).pointee.newer, share(slot, segment).pointee.older)
        if newer == noSegment {
            unsafe ends.pointee.newest = older
        } else {
            unsafe share(slot, newer).pointee.older = older
        }
        if older == noSegment {
            unsafe ends.pointee.oldest = newer
        } else {
            unsafe share(slot, older).pointee.newer = newer
        }
    }

    @_noLocks private mutating func noLongerOwed(_ slot: Int, _ segment: UInt32) {
        if holds(slot) {
            unsafe state(segment).pointee.owedHeld -= 1
        } else {
            unsafe state(segment).pointee.owedLoose -= 1
        }
        freeIfDone(segment)
    }
}
