public import Machine
internal import Synchronization

/// Segments coming in from the workers, and going back to them.
extension BatchIndex {
    /// Takes in what a worker has published since the last time, oldest first.
    ///
    /// - Parameters:
    ///   - limit: batches at most.
    ///   - each: called once per batch, after every active destination has been given its share.
    /// - Returns: how many batches came in.
    @_noLocks public mutating func takeIn(worker: Int, limit: Int, each: (BatchReference, UInt32) -> Void) -> Int {
        var taken = 0
        while taken < limit {
            let segment = unsafe intake(worker).pointee.first
            guard segment != noSegment else { return taken }
            let word = unsafe pool.word(of: segment).pointee.load(ordering: .acquiring)
            let published = word & ~PublishedWord.sealed
            var next = unsafe state(segment).pointee.batches
            while next < published, taken < limit {
                let reference = BatchReference(segment: segment, ordinal: next)
                note(reference)
                giveShares(of: reference)
                each(reference, pool.packets(reference))
                next += 1
                taken += 1
            }
            unsafe state(segment).pointee.batches = next
            guard next == published, word & PublishedWord.sealed != 0 else { return taken }
            unsafe state(segment).pointee.sealed = true
            unsafe intake(worker).pointee.removeFirst()
            handedOut -= 1
            freeIfDone(segment)
        }
        return taken
    }

    /// Whether everything the worker published is taken in. Meaningful once the worker has ended.
    @_noLocks public func hasTakenInAll(worker: Int) -> Bool {
        let segment = unsafe intake(worker).pointee.first
        guard segment != noSegment else { return true }
        let word = unsafe pool.word(of: segment).pointee.load(ordering: .acquiring)
        // A segment that was handed out and never used has a zero word, and so have those behind it.
        let seen = unsafe state(segment).pointee.batches
        return word & PublishedWord.sealed == 0 && word == seen
    }

    /// Remembers how far the numbers of the batch's lane have come.
    @_noLocks private func note(_ reference: BatchReference) {
        let (worker, lane) = (Int(pool.worker(reference)), Int(pool.lane(reference)))
        precondition(worker < workers && lane < 256, "workers and lanes of this run")
        unsafe marks[worker * 256 + lane] = pool.number(reference) + 1
    }

    /// The number that the next batch of this worker and lane will have; 0 where there was none.
    @_noLocks public func mark(worker: UInt16, lane: UInt16) -> UInt64 {
        guard Int(worker) < workers, lane < 256 else { return 0 }
        return unsafe marks[Int(worker) * 256 + Int(lane)]
    }

    /// The lanes that a worker has made batches for, and lane 0 where there is no other yet.
    public func announcedLanes(worker: UInt16) -> [UInt16] {
        let lanes = (0..<UInt16(Self.maximumLanes)).filter { mark(worker: worker, lane: $0) > 0 }
        return lanes.isEmpty ? [0] : lanes
    }

    /// Workers that make batches.
    public var workerCount: Int { @_noLocks get { workers } }

    @_noLocks private mutating func giveShares(of reference: BatchReference) {
        var remaining = receivers(of: pool.lane(reference))
        while remaining != 0 {
            let slot = remaining.trailingZeroBitCount
            remaining &= remaining - 1
            insertUnsent(slot, reference)
            if holds(slot) {
                unsafe state(reference.segment).pointee.owedHeld += 1
            } else {
                unsafe state(reference.segment).pointee.owedLoose += 1
            }
        }
    }

    /// Gives the worker a free segment if it has room for one; false if there is none or it has enough.
    @_noLocks public mutating func handOut(to worker: Int, through free: inout RingProducer<UInt32>) -> Bool {
        guard wantsSegment(worker: worker) else { return false }
        let segment = ring.handOut(to: UInt16(truncatingIfNeeded: worker))
        guard segment != noSegment else { return false }
        unsafe pool.word(of: segment).pointee.store(0, ordering: .relaxed)
        unsafe pool.leaveWord(of: segment).pointee.store(0, ordering: .relaxed)
        unsafe intake(worker).pointee.append(segment)
        handedOut += 1
        _ = free.push(segment)
        free.publish()
        return true
    }

    /// Segments the worker has in hand.
    @_noLocks public func inHand(worker: Int) -> Int { unsafe intake(worker).pointee.count }

    /// Whether the worker could use another segment right now.
    @_noLocks public func wantsSegment(worker: Int) -> Bool {
        unsafe intake(worker).pointee.count < segmentsInHand
    }

    @_noLocks mutating func freeIfDone(_ segment: UInt32) {
        let entry = unsafe state(segment)
        guard unsafe entry.pointee.inUse, unsafe entry.pointee.sealed, unsafe !entry.pointee.isLent,
            unsafe entry.pointee.owedHeld == 0, unsafe entry.pointee.owedLoose == 0
        else { return }
        ring.giveBack(segment)
    }

    /// The segment to empty when a worker needs one and none is free: the oldest that only loose destinations still
    /// want, otherwise, if `evenHeld`, the oldest of all. Segments not sealed or lent out are left alone.
    @_noLocks public func victim(evenHeld: Bool) -> UInt32? {
        var oldestHeld = noSegment
        var segment = ring.oldest
        while segment != noSegment {
            let entry = unsafe state(segment).pointee
            if entry.sealed, !isLent(segment) {
                if entry.owedHeld == 0 { return segment }
                if oldestHeld == noSegment { oldestHeld = segment }
            }
            if segment == ring.newest { break }
            segment = entry.newer
        }
        return evenHeld && oldestHeld != noSegment ? oldestHeld : nil
    }

    /// The oldest sealed segment that is owed to nobody but the destinations in `mask` (one bit per slot) and loose ones.
    @_noLocks public func victim(owedOnlyTo mask: UInt64) -> UInt32? {
        var segment = ring.oldest
        while segment != noSegment {
            let entry = unsafe state(segment).pointee
            if entry.sealed, !isLent(segment), !isOwed(segment, to: holding & ~mask) { return segment }
            if segment == ring.newest { break }
            segment = entry.newer
        }
        return nil
    }

    @_noLocks private func isLent(_ segment: UInt32) -> Bool {
        if unsafe state(segment).pointee.isLent { return true }
        var remaining = pinning
        while remaining != 0 {
            let slot = remaining.trailingZeroBitCount
            remaining &= remaining - 1
            if unsafe share(slot, segment).pointee.inFlight > 0 { return true }
        }
        return false
    }

    @_noLocks func isOwed(_ segment: UInt32, to mask: UInt64) -> Bool {
        var remaining = mask
        while remaining != 0 {
            let slot = remaining.trailingZeroBitCount
            remaining &= remaining - 1
            let entry = unsafe share(slot, segment).pointee
            if entry.unsent > 0 || entry.inFlight > 0 { return true }
        }
        return false
    }

    /// Takes a segment away from one destination: what it was not sent is lost to it, and so is, in memory, what is in
    /// flight (the bytes are in the socket; the caller keeps account of them).
    ///
    /// - Parameter lost: called for each batch that was unsent.
    @_noLocks public mutating func evict(_ slot: Int, from segment: UInt32, lost: (BatchReference, UInt32) -> Void) {
        let entry = unsafe share(slot, segment)
        while unsafe entry.pointee.unsent > 0 {
            let reference = BatchReference(segment: segment, ordinal: bits(slot, segment).least)
            lost(reference, pool.packets(reference))
            drop(slot, reference)
        }
        while unsafe entry.pointee.inFlight > 0 {
            settle(slot, BatchReference(segment: segment, ordinal: 0))
        }
    }

    /// Batches of this segment that the destination was sent and has not acknowledged.
    @_noLocks public func inFlight(_ slot: Int, in segment: UInt32) -> UInt32 {
        unsafe share(slot, segment).pointee.inFlight
    }

    /// Whether slot takes part.
    @_noLocks public func isJoined(_ slot: Int) -> Bool { isActive(slot) }
}
