internal import Machine
internal import Sending
internal import SpillCache

/// The path of a batch from disk into a socket: its pages, in calls of bounded length, one batch at a time.
extension Destination {
    /// Chooses the next batch on disk; false if there is none, or none that can be sent now.
    @_noLocks mutating func beginReplay(_ stream: StreamContext, now: UInt64) -> Bool {
        guard let disk = unsafe disk, isBegun, inFlight.room > 0,
            inFlight.bytes < UInt64(stream.limits.ackWindow),
            let next = unsafe disk.pointee.catalogue.next(disk.pointee.claimant, newestFirst: newestFirst)
        else { return false }
        describeInterfaces(stream)
        // Descriptions go first, as every piece that is in memory.
        guard pieces.isEmpty else { return true }
        return unsafe disk.pointee.begin(next, now: now)
    }

    /// The connection is gone: the batch in hand is unsent again.
    @_noLocks mutating func takeBackFromDisk() {
        isLoading = false
        guard let disk = unsafe disk, unsafe disk.pointee.isSending else { return }
        putBack(unsafe disk.pointee.place)
        unsafe disk.pointee.end()
    }

    /// A batch on disk is unsent again.
    @_noLocks func putBack(_ place: DiskPlace) {
        guard let disk = unsafe disk else { return }
        unsafe disk.pointee.catalogue.putBack(disk.pointee.claimant, place)
    }

    /// Goes on with the batch in hand; returns 1 if it is completely sent.
    @_noLocks mutating func continueReplay(now: UInt64) -> Int {
        guard let disk = unsafe disk else { return 0 }
        let before = unsafe disk.pointee.transfer.position
        let outcome = unsafe disk.pointee.transfer.send(
            to: descriptor, limit: 512 << 10, now: now, tools: disk.pointee.tools)
        written += unsafe disk.pointee.transfer.position &- before
        switch outcome {
        case .progressed: return 0
        case .blocked, .loading:
            isWritable = false
            if case .loading = outcome { isLoading = true }
            return 0
        case .finished:
            inFlight.append(unsafe InFlight(disk.pointee.batch, at: disk.pointee.place, end: written))
            unsafe counters.add(.replayed, UInt64(disk.pointee.batch.packets))
            unsafe disk.pointee.end()
            return 1
        case .shrunk, .failed:
            // Half a batch may be in the socket; only a new connection gets over that.
            isBroken = true
            return 0
        }
    }
}
