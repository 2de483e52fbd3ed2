internal import Machine
internal import SegmentPool
internal import Transfer

/// What a collector says about batches.
extension Destination {
    /// Whether acknowledgements are asked for.
    var wantsAcks: Bool { if case .none = policy { false } else { true } }

    /// A collector that says nothing at all any more is taken for dead.
    func isSilent(_ now: UInt64, _ limit: UInt64) -> Bool {
        isAgreed && now > lastHeard && now - lastHeard > limit
    }

    /// ACK: settles what is in flight and named; the rest of what is named means nothing.
    ///
    /// - Returns: false if it names numbers that were never given out.
    @_noLocks mutating func settle(
        acknowledged block: RangeBlock, run: UInt16, _ index: inout BatchIndex, utc: UInt64, now: UInt64
    ) -> Bool {
        guard block.count > 0 else { return true }
        guard run != 0 || isGivenOut(block, index) else { return false }
        var place = inFlight.searchStart
        while let entry = inFlight.settleNext(from: &place, block, run: run) {
            deliver(entry, &index, utc: utc)
            (lastProgress, pause, wasRefused) = (now, 0, false)
        }
        inFlight.trim()
        return true
    }

    /// HAVE: what is owed and named is delivered without being sent.
    ///
    /// - Returns: false if it names numbers that were never given out.
    @_noLocks mutating func settle(
        had block: RangeBlock, _ index: inout BatchIndex, utc: UInt64, now: UInt64
    ) -> Bool {
        guard block.count > 0 else { return true }
        guard isGivenOut(block, index) else { return false }
        var worker = 0
        while worker < index.workerCount {
            var next = index.firstUnsent(slot, worker: worker)
            while let reference = next {
                next = index.nextUnsent(slot, after: reference)
                let pool = index.pool
                guard pool.worker(reference) == block.worker, pool.lane(reference) == block.lane,
                    block.contains(pool.number(reference))
                else { continue }
                let packets = pool.packets(reference)
                countDelivered(
                    packets, bytes: unsafe pool.batch(reference).count, arrival: pool.lastArrival(reference), utc: utc)
                unsentPackets -= UInt64(packets)
                index.drop(slot, reference)
                (lastProgress, pause, wasRefused) = (now, 0, false)
            }
            worker += 1
        }
        return true
    }

    @_noLocks private func isGivenOut(_ block: RangeBlock, _ index: borrowing BatchIndex) -> Bool {
        block.range(block.count - 1).end <= index.mark(worker: block.worker, lane: block.lane)
    }
}
