internal import Glibc
internal import Machine
internal import Sending
internal import SpillCache

/// Care for the cache between turns: what was brought into memory, files that nobody needs, the end.
extension Egress {
    /// Takes what helpers have brought into memory.
    @_noLocks mutating func takeLoaded(now: UInt64) -> Int {
        guard let line = unsafe spill else { return 0 }
        var taken = 0
        while let result = unsafe line.pointee.tools.helpers?.nextResult() {
            let place = Int(truncatingIfNeeded: result.ticket >> 32)
            taken += 1
            guard place < connectionCount, let disk = unsafe connections[place].disk else { continue }
            unsafe disk.pointee.take(result, now: now)
            if unsafe connections[place].isLoading {
                unsafe connections[place].isLoading = false
                unsafe connections[place].isWritable = true
            }
        }
        return taken
    }

    /// Removes files that nobody is owed anything in.
    mutating func tendCache(now: UInt64) {
        guard let cache, let line = unsafe spill else { return }
        for place in 0..<UInt32(cache.catalogue.used) {
            let file = cache.catalogue[file: place]
            switch file.state {
            case .closed where !cache.catalogue.isOwed(place): discard(place, cache)
            case .open where file.batches > 0 && !cache.catalogue.isOwed(place) && stream.inputEnded:
                unsafe line.pointee.closeFile(number: file.number)
            case .leaving: discard(place, cache)
            case .vacant, .open, .closed: break
            }
        }
    }

    /// Removes a file, now or when nobody reads from it any more.
    private mutating func discard(_ place: UInt32, _ cache: CacheSide) {
        var file = cache.catalogue[file: place]
        file.state = .leaving
        cache.catalogue[file: place] = file
        guard isUnused(file.descriptor) else { return }
        if file.descriptor >= 0 { close(file.descriptor) }
        cache.keeper.remove(file.name)
        cache.catalogue.remove(place)
    }

    /// Whether nobody reads from a descriptor, which may then be closed.
    private func isUnused(_ descriptor: Int32) -> Bool {
        guard descriptor >= 0 else { return true }
        for place in 0..<connectionCount {
            if let disk = unsafe connections[place].disk, unsafe disk.pointee.uses(descriptor) { return false }
        }
        for place in 0..<connectionCount {
            if let disk = unsafe connections[place].disk { unsafe disk.pointee.forget(descriptor) }
        }
        return true
    }

    /// Ends the threads of the cache, after what they were asked to do; a disk that hangs is not waited for without end.
    mutating func finishSpill() {
        guard let cache, let line = unsafe spill else { return }
        let start = Clock.monotonic()
        unsafe line.pointee.end()
        while unsafe !line.pointee.hasEnded, Clock.monotonic() &- start < drainTimeout {
            if takeSpilled(now: Clock.monotonic()) == 0 { Clock.sleep(nanoseconds: 200_000) }
        }
        tendCache(now: Clock.monotonic())
        cache.keeper.stop()
        while !cache.keeper.hasEnded, Clock.monotonic() &- start < drainTimeout {
            Clock.sleep(nanoseconds: 200_000)
        }
        publish()
    }
}
