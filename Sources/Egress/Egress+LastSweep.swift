internal import Machine
internal import SegmentPool
internal import SpillCache

/// The end of a run that has a cache: memory goes to disk, its threads end, and what did not get there is counted. Control plane.
extension Egress {
    /// The input is over: all that is in memory goes to disk first, and what was there before stays for the next run.
    mutating func spillAll() {
        guard let line = unsafe spill, unsafe !line.pointee.sweepsAll else { return }
        unsafe line.pointee.sweepsAll = true
        guard endsInTime else { return }
        for place in care.connections {
            guard let disk = unsafe connections[place].disk else { continue }
            let oldest = unsafe index.oldest(connections[place].slot)
            unsafe disk.pointee.floor = oldest.map { index.pool.lastArrival($0) } ?? .max
        }
        for segment in unsafe line.pointee.segmentsUnderWay {
            let first = index.pool.lastArrival(BatchReference(segment: segment, ordinal: 0))
            for place in care.connections {
                if let disk = unsafe connections[place].disk {
                    unsafe disk.pointee.floor = min(unsafe disk.pointee.floor, first)
                }
            }
        }
    }

    /// Whether nothing is left in memory that could go to disk, or nothing can go there.
    var isSwept: Bool {
        guard let line = unsafe spill else { return true }
        if unsafe line.pointee.failure != 0 { return true }
        if unsafe line.pointee.underWay > 0 { return false }
        return setup.isFileInput && !hasRoomOnDisk || index.oldestToSpill() == nil
    }

    /// Whether the disk takes nothing any more, though something is on its way there.
    func isDiskStuck(now: UInt64) -> Bool {
        guard let line = unsafe spill, unsafe line.pointee.underWay > 0 else { return false }
        return unsafe !waitsForDisk(since: line.pointee.lastAnswer, now: now)
    }

    /// Whether the disk is still waited for: as long as each piece of work is done within `--drain-timeout`, but never less
    /// than 5 s, because a disk may pause; after a second signal within a second, for what it has in hand.
    private func waitsForDisk(since lastProgress: UInt64, now: UInt64) -> Bool {
        now &- lastProgress < (setup.abort.isSet ? 1_000_000_000 : max(drainTimeout, 5_000_000_000))
    }

    /// Ends the threads of the cache, after what they were asked to do; a disk that hangs is not waited for without end, and
    /// after a second signal only the write that is under way.
    mutating func finishSpill() {
        guard let cache, let line = unsafe spill else { return }
        var now = Clock.monotonic()
        var lastProgress = now
        if unsafe line.pointee.underWay > 0 { lastProgress = unsafe line.pointee.lastAnswer }
        while unsafe !line.pointee.hasEnded, waitsForDisk(since: lastProgress, now: now) {
            if setup.abort.isSet { unsafe line.pointee.cancelled.set() }
            unsafe line.pointee.end()
            if takeSpilled(now: now) > 0 { lastProgress = now } else { Clock.sleep(nanoseconds: 200_000) }
            now = Clock.monotonic()
        }
        giveUpUnwritten()
        (care.nextNote, care.nextLook) = (0, 0)
        tendCache(now: now)
        cache.keeper.stop()
        var attempts = cache.keeper.attemptCount
        now = Clock.monotonic()
        lastProgress = now
        while !cache.keeper.hasEnded, waitsForDisk(since: lastProgress, now: now) {
            Clock.sleep(nanoseconds: 200_000)
            now = Clock.monotonic()
            if cache.keeper.attemptCount != attempts { (attempts, lastProgress) = (cache.keeper.attemptCount, now) }
        }
        if cache.keeper.hasEnded { loseRemovedFiles(cache) }
        publish()
    }

    /// What was on its way to disk and is not there is lost, now that nothing more is written.
    private mutating func giveUpUnwritten() {
        guard let line = unsafe spill else { return }
        unsafe line.pointee.cancelled.set()
        for segment in unsafe line.pointee.segmentsUnderWay {
            unsafe line.pointee.isBack(segment)
            index.takeBack(segment)
        }
        let reason: Counter = endsInTime || setup.abort.isSet ? .droppedDrain : .droppedUnreachable
        for place in 0..<connectionCount where unsafe index.isJoined(connections[place].slot) {
            giveUp(place, reason)
        }
    }

    /// What is owed from files that somebody has removed waits for nobody.
    private mutating func loseRemovedFiles(_ cache: CacheSide) {
        for place in 0..<UInt32(cache.catalogue.used) where cache.catalogue.isOwed(place) {
            let name = cache.catalogue[file: place].name
            guard cache.setup.directory.hasLost(name) else { continue }
            setup.log("--spill: \(name): somebody has removed it")
            loseClaims(place, cache, reason: .droppedCacheDamage)
            // The next life would count it once more.
            try? cache.setup.directory.remove(OwedFile.name(of: name))
        }
    }
}
