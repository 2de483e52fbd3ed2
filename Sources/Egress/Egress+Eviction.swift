internal import Machine
internal import SegmentPool
internal import Transfer

/// Taking a segment away from everybody who still wants something in it.
extension Egress {
    /// Empties a segment: what was not sent is lost, counted by reason; what is in a socket stays on its way; a batch
    /// half written moves to the connection's own buffer.
    @_noLocks mutating func evict(_ segment: UInt32, held reason: Counter) {
        if keepSlot >= 0 { index.evict(keepSlot, from: segment) { _, _ in } }
        var place = 0
        while place < connectionCount {
            let destination = unsafe connections + place
            let slot = unsafe destination.pointee.slot
            if index.isJoined(slot) {
                unsafe destination.pointee.rescue(segment: segment, &index)
                let lost = unsafe takeAway(destination, segment)
                unsafe destination.pointee.unsentPackets -= lost
                unsafe destination.pointee.counters.add(destination.pointee.holds ? reason : .droppedBehind, lost)
            }
            place += 1
        }
        place = 0
        while place < fileCount {
            let lost = unsafe takeAway(files[place].slot, segment)
            unsafe files[place].unsentPackets -= lost
            unsafe files[place].counters.add(files[place].holds ? reason : .droppedBehind, lost)
            place += 1
        }
    }

    /// Takes a segment away from a connection; one that acknowledges is told what will not come.
    @_noLocks private mutating func takeAway(_ destination: UnsafeMutablePointer<Destination>, _ segment: UInt32)
        -> UInt64
    {
        var lost: UInt64 = 0
        let pool = index.pool
        let tells = unsafe destination.pointee.isAgreed
        index.evict(unsafe destination.pointee.slot, from: segment) { reference, packets in
            lost += UInt64(packets)
            guard tells else { return }
            unsafe destination.pointee.gone.append(
                worker: pool.worker(reference), lane: pool.lane(reference), number: pool.number(reference),
                reason: .dropped)
        }
        return lost
    }

    @_noLocks private mutating func takeAway(_ slot: Int, _ segment: UInt32) -> UInt64 {
        var lost: UInt64 = 0
        index.evict(slot, from: segment) { _, packets in lost += UInt64(packets) }
        return lost
    }

    /// Gives up everything a destination has not been sent; returns the packets.
    @_noLocks mutating func giveUpUnsent(_ slot: Int) -> UInt64 {
        var lost: UInt64 = 0
        while let reference = index.oldest(slot) {
            lost += UInt64(index.pool.packets(reference))
            index.drop(slot, reference)
        }
        return lost
    }
}
