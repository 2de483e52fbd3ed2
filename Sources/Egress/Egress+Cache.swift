internal import Glibc
internal import Machine
internal import SegmentPool
internal import Sending
internal import SpillCache

/// Care for the cache between turns: what was brought into memory, files that nobody needs, room for more, the end.
extension Egress {
    /// Takes what helpers have brought into memory, and what was found out about it.
    @_noLocks mutating func takeLoaded(now: UInt64) -> Int {
        guard let line = unsafe spill else { return 0 }
        var taken = unsafe line.pointee.catalogue.takeChecked(from: line.pointee.checks)
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

    /// What is due.
    mutating func tendCache(now: UInt64) {
        guard let cache, let line = unsafe spill else { return }
        beginNotes(cache)
        // Going over all files is for now and then: there may be thousands.
        let isDue = now >= care.nextLook
        if isDue { care.nextLook = now &+ 10_000_000 }
        recallMaps(cache, looksAhead: isDue)
        for place in care.connections {
            if let disk = unsafe connections[place].disk, let file = unsafe disk.pointee.takeFailure() {
                giveUp(file, cache, "it cannot be read")
            }
        }
        if cache.catalogue.takeHasBad() {
            for place in 0..<UInt32(cache.catalogue.used) {
                if let failure = cache.catalogue.takeFailure(place) {
                    giveUp(place, cache, "\(SystemError("read", code: failure))")
                }
                loseBad(in: place, cache)
            }
        }
        if isDue {
            for place in 0..<UInt32(cache.catalogue.used) { unsafe tendFile(place, cache, line) }
            giveBack(cache)
        }
        unsafe makeRoomOnDisk(cache, line)
        unsafe line.pointee.permitFiles()
        let failure = unsafe line.pointee.failure
        if failure != care.saidFailure {
            care.saidFailure = failure
            setup.log(describe(failure, cache))
        }
        if unsafe line.pointee.waitsForRemoval, cache.keeper.hasRemovedAll {
            unsafe line.pointee.waitsForRemoval = false
            unsafe line.pointee.nextTry = now
        }
        // After a sync that failed nobody knows what is on disk, and asking again would be told a lie.
        for number in cache.keeper.takeUnsynced() {
            if let place = cache.catalogue.openFile(number: number) { unsafe line.pointee.closeFile(place) }
        }
        if now >= care.nextNote {
            care.nextNote = now &+ 1_000_000_000
            noteOwed(cache)
            if cache.setup.sync == .interval { syncOpenFiles(cache) }
        }
    }

    private func describe(_ failure: Int32, _ cache: CacheSide) -> String {
        switch failure {
        case 0: "--spill: writing goes on"
        case ENFILE: "--spill: no room for an account of more than \(cache.catalogue.fileCount) files"
        default: "--spill: \(SystemError("write", cache.setup.directory.path, code: failure))"
        }
    }

    private mutating func tendFile(_ place: UInt32, _ cache: CacheSide, _ line: UnsafeMutablePointer<SpillLine>) {
        let file = cache.catalogue[file: place]
        switch file.state {
        case .closed where care.held.contains(place): break
        case .closed where isPast(file, cache):
            loseClaims(place, cache, reason: .expired)
            discard(place, cache)
        case .closed where file.isGivenUp && !cache.catalogue.isOwed(place): leaveAlone(place, cache)
        case .closed where !cache.catalogue.isOwed(place) && !isKept(file, cache): discard(place, cache)
        // What is past leaves when it is closed.
        case .open where file.batches > 0 && isPast(file, cache): unsafe line.pointee.closeFile(place)
        case .open where file.batches > 0 && !cache.catalogue.isOwed(place) && stream.inputEnded:
            unsafe line.pointee.closeFile(place)
        case .leaving: discard(place, cache)
        case .vacant, .open, .closed: break
        }
    }

    /// Whether all of a file came longer ago than anything may be in the cache.
    private func isPast(_ file: CatalogueFile, _ cache: CacheSide) -> Bool {
        guard let age = cache.setup.age else { return false }
        return file.lastArrival &+ age < Clock.monotonic() &+ utcOffset
    }

    /// Whether a file that nobody is owed is kept all the same.
    private func isKept(_ file: CatalogueFile, _ cache: CacheSide) -> Bool {
        switch cache.setup.keep {
        case nil: return false
        case .time(let time): return file.lastArrival &+ time >= Clock.monotonic() &+ utcOffset
        case .bytes(let bytes):
            var newer: UInt64 = 0
            for place in 0..<UInt32(cache.catalogue.used) {
                let other = cache.catalogue[file: place]
                if other.state != .vacant, other.lastArrival > file.lastArrival { newer += other.bytes }
            }
            return newer + file.bytes <= bytes
        }
    }

    /// Removes a file, now or when nobody reads from it any more.
    private mutating func discard(_ place: UInt32, _ cache: CacheSide) {
        var file = cache.catalogue[file: place]
        file.state = .leaving
        cache.catalogue[file: place] = file
        guard isUnused(file.descriptor) else { return }
        if file.descriptor >= 0 { close(file.descriptor) }
        care.forget(place)
        cache.keeper.remove(file.name)
        cache.catalogue.remove(place)
    }

    /// Whether nobody reads from a descriptor, which may then be closed.
    func isUnused(_ descriptor: Int32) -> Bool {
        guard descriptor >= 0 else { return true }
        if cache?.catalogue.isBeingChecked(descriptor) == true { return false }
        for place in 0..<connectionCount {
            if let disk = unsafe connections[place].disk, unsafe disk.pointee.uses(descriptor) { return false }
        }
        for place in 0..<connectionCount {
            if let disk = unsafe connections[place].disk { unsafe disk.pointee.forget(descriptor) }
        }
        return true
    }

    // ---- room ----------------------------------------------------------------------------------------------------

    /// Lets go of files when space ends, in the design's order. Where files are read what is owed stays: the reader waits.
    private mutating func makeRoomOnDisk(_ cache: CacheSide, _ line: UnsafeMutablePointer<SpillLine>) {
        let more = UInt64(SpillLine.depth + 1) * UInt64(index.pool.segmentBytes)
        let limit = spillBytes > 2 * more ? spillBytes - more : spillBytes / 2
        let isFull = unsafe [ENOSPC, EDQUOT, ENFILE].contains(line.pointee.failure)
        let isCrowded = cache.catalogue.fileCount + 8 > cache.catalogue.fileLimit
        if cache.catalogue.byteCount < limit - limit / 4 { care.isOverfull = false }
        guard isFull || isCrowded || cache.catalogue.byteCount > limit else { return }
        if isFull {
            // One file for each time that writing is tried again.
            guard unsafe line.pointee.mayFree else { return }
            unsafe line.pointee.mayFree = false
        }
        repeat {
            guard let place = cache.catalogue.oldestToExpire(down: claimantsDown) else {
                // Only files that are being written are left; the oldest of them is closed.
                if let open = cache.catalogue.oldestOpen, mayGo(open, cache) { unsafe line.pointee.closeFile(open) }
                return
            }
            guard mayGo(place, cache) else { return }
            // What nobody is owed goes first.
            if !isFull { care.isOverfull = cache.catalogue.isOwed(place) }
            loseClaims(place, cache, reason: .expired)
            setup.log("--spill: \(cache.catalogue[file: place].name): expired, there is no room for it")
            discard(place, cache)
            if isFull, unsafe line.pointee.mayHurry {
                unsafe (line.pointee.mayHurry, line.pointee.waitsForRemoval) = (false, true)
            }
        } while cache.catalogue.byteCount > limit && !isFull && !isCrowded
    }

    private func mayGo(_ place: UInt32, _ cache: CacheSide) -> Bool {
        !care.held.contains(place) && (!setup.isFileInput || !cache.catalogue.isOwed(place))
    }

    /// One bit for each claimant that is not connected.
    private var claimantsDown: UInt64 {
        var down: UInt64 = 0
        for (claimant, place) in care.connections.enumerated() where unsafe connections[place].state != .up {
            down |= 1 << UInt64(claimant)
        }
        return down
    }

    private mutating func syncOpenFiles(_ cache: CacheSide) {
        var files: [CacheKeeper.OpenDescriptor] = []
        for place in 0..<UInt32(cache.catalogue.used) {
            let file = cache.catalogue[file: place]
            guard file.state == .open, file.descriptor >= 0, file.end > care.synced[place] ?? 0 else { continue }
            care.synced[place] = file.end
            let copy = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
            if copy >= 0 { files.append(CacheKeeper.OpenDescriptor(copy, number: file.number)) }
        }
        if !files.isEmpty { cache.keeper.sync(files) }
    }
}
