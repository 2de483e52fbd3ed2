internal import Machine
internal import Pcapng
internal import SegmentPool

/// One turn of the data plane: in from the workers, out to the destinations, segments back.
extension Egress {
    /// Does everything that can be done right now; returns how much that was.
    @_noLocks mutating func turn(now: UInt64) -> Int {
        var work = takeIn() + takeSpilled(now: now) + takeLoaded(now: now)
        var place = 0
        while place < connectionCount {
            let destination = unsafe connections + place
            if case .up = unsafe destination.pointee.state {
                work += unsafe destination.pointee.acknowledge(&index, utc: now &+ utcOffset, now: now)
                work += unsafe destination.pointee.pump(&index, stream, now: now)
            }
            place += 1
        }
        place = 0
        while place < fileCount {
            let file = unsafe files + place
            work += unsafe file.pointee.pump(&index, stream)
            place += 1
        }
        return work + sweep(now: now) + supplySegments()
    }

    /// Takes in what the workers published and gives every destination its share.
    @_noLocks private mutating func takeIn() -> Int {
        var taken = 0
        var writer = 0
        var packets: UInt64 = 0
        var bytes: UInt64 = 0
        let (pool, shared, laneTaken) = (index.pool, shareCount > 0, laneCounts)
        while writer < writers {
            taken += index.takeIn(worker: writer, limit: 256) { reference, count in
                packets += UInt64(count)
                bytes += UInt64(unsafe pool.batch(reference).count)
                if shared { laneTaken.add(pool.lane(reference), UInt64(count)) }
            }
            writer += 1
        }
        if packets > 0 { assign(packets, bytes) }
        return taken
    }

    @_noLocks private func assign(_ packets: UInt64, _ bytes: UInt64) {
        var place = 0
        while place < connectionCount {
            // Who has a share gets the batches of its lanes only.
            if unsafe connections[place].lane == 0 && index.isJoined(connections[place].slot) {
                unsafe connections[place].unsentPackets += packets
                unsafe connections[place].counters.add(.assigned, packets)
            }
            place += 1
        }
        var lane = 0
        while shareCount > 0, let share = laneCounts.take(from: &lane) {
            if share.place >= 0 {
                unsafe connections[share.place].unsentPackets += share.packets
                unsafe connections[share.place].counters.add(.assigned, share.packets)
            }
        }
        place = 0
        while place < fileCount {
            unsafe files[place].unsentPackets += packets
            unsafe files[place].counters.add(.assigned, packets)
            place += 1
        }
        place = 0
        while place < nullCount {
            unsafe nulls[place].add(.assigned, packets)
            unsafe nulls[place].add(.delivered, packets)
            unsafe nulls[place].add(.deliveredBytes, bytes)
            place += 1
        }
    }

    /// Keeps every writer in segments; when none is free, somebody has to let go of one.
    @_noLocks private mutating func supplySegments() -> Int {
        var moved = 0
        var writer = 0
        if poolGrows { poolGrows = index.admitTouched() }
        while writer < writers {
            let ring = unsafe freeRings + writer
            while unsafe index.handOut(to: writer, through: &ring.pointee) { moved += 1 }
            // Room is made while the writer still has spare segments, so that it does not run dry before this thread gets
            // its next turn. While segments are still being touched there is a better way than taking one.
            if !poolGrows, index.wantsSegment(worker: writer), index.freeSegments == 0, makeRoom(for: writer) {
                moved += 1
                continue
            }
            writer += 1
        }
        return moved
    }

    /// Empties one segment, by the rules of the design's section 5; false if none may be.
    @_noLocks private mutating func makeRoom(for worker: Int) -> Bool {
        // While the disk takes what is oldest nobody loses anything, but for readers that hold nothing.
        let losesHeld = !holdsBack && !isSpilling
        if let segment = index.victim(evenHeld: losesHeld || !holdsBack && index.inHand(worker: worker) < 2) {
            evict(segment, held: .droppedEvicted)
            return true
        }
        if isSpilling { return false }
        // Readers wait and newest are lost only while somebody makes progress or nobody else waits.
        if stalled != 0, anotherWaits, let segment = index.victim(owedOnlyTo: stalled) {
            evict(segment, held: .droppedUnreachable)
            return true
        }
        return false
    }

    /// Whether some holder that is not stalled has everything there is.
    private var anotherWaits: Bool {
        @_noLocks get {
            var place = 0
            while place < connectionCount {
                let slot = unsafe connections[place].slot
                if unsafe connections[place].holds, index.isJoined(slot),
                    (stalled >> UInt64(truncatingIfNeeded: slot)) & 1 == 0,
                    unsafe connections[place].isDrained(index), unsafe connections[place].isQuiet
                {
                    return true
                }
                place += 1
            }
            place = 0
            while place < fileCount {
                if unsafe files[place].holds, unsafe index.isDrained(files[place].slot) { return true }
                place += 1
            }
            return false
        }
    }
}
