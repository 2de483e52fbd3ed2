internal import Glibc
internal import Machine
internal import SegmentPool
internal import Sending
internal import SpillCache

/// The path of a batch from disk into a socket: its pages, in calls of bounded length, one batch at a time.
extension Destination {
    /// Whether a batch on disk goes before this one in memory.
    @_noLocks func prefersDisk(_ reference: BatchReference, _ index: borrowing BatchIndex) -> Bool {
        guard let disk = unsafe disk else { return false }
        return unsafe disk.pointee.goesBefore(
            index.pool.lastArrival(reference), isDiverted: index.pool.lane(reference) >= ShareBoard.divertedLane,
            divertsLast: index.divertsLast)
    }

    /// Chooses the next batch on disk; false if there is none, or none that can be sent now.
    @_noLocks mutating func beginReplay(_ stream: StreamContext, now: UInt64) -> Bool {
        guard let disk = unsafe disk, isBegun, inFlight.room > 0,
            inFlight.bytes < UInt64(stream.limits.ackWindow),
            let next = unsafe disk.pointee.next(),
            gate.lets(through: descriptor, outstanding: written &- acknowledged, now: now)
        else { return false }
        let file = unsafe disk.pointee.catalogue[file: next.file]
        if file.runPlace == 0 {
            returnToOwnSection(stream)
            describeInterfaces(stream)
            describeLanes(stream)
        } else if file.runPlace != section || file.interfaces > sectionInterfaces {
            unsafe pieces.append(header: UnsafeRawPointer(bitPattern: file.header)!, Int(file.headerBytes))
            (section, sectionInterfaces) = (file.runPlace, file.interfaces)
        }
        // Descriptions go first, as every piece that is in memory.
        guard pieces.isEmpty else { return true }
        return unsafe disk.pointee.begin(next, now: now)
    }

    /// The connection is gone: the batch in hand is unsent again.
    @_noLocks mutating func takeBackFromDisk() {
        isLoading = false
        guard let disk = unsafe disk, unsafe disk.pointee.isSending else { return }
        if unsafe disk.pointee.isLetGo {
            unsafe counters.add(.expired, UInt64(disk.pointee.batch.packets))
        } else {
            putBack(unsafe disk.pointee.place)
        }
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
            let place = unsafe disk.pointee.place
            let run = unsafe disk.pointee.catalogue[file: place.file].runPlace
            var entry = unsafe InFlight(disk.pointee.batch, at: place, run: run, end: written)
            if unsafe disk.pointee.isLetGo { (entry.disk, entry.isExpired) = (.none, true) }
            inFlight.append(entry)
            unsafe counters.add(.replayed, UInt64(disk.pointee.batch.packets))
            unsafe disk.pointee.end()
            return 1
        case .shrunk:
            unsafe disk.pointee.failedFile = disk.pointee.place.file
            isBroken = true
            return 0
        case .failed(let code):
            // Half a batch may be in the socket; only a new connection gets over that, whosever failure it is.
            if code == EIO || code == EUCLEAN || code == EBADMSG || code == ENXIO {
                unsafe disk.pointee.failedFile = disk.pointee.place.file
            }
            isBroken = true
            return 0
        }
    }

    /// Batches of this run follow: behind those of an earlier one they need a section of their own.
    @_noLocks mutating func returnToOwnSection(_ stream: StreamContext) {
        guard section != 0 else { return }
        (section, sectionInterfaces, described, toldLanes) = (0, 0, 0, 0)
        unsafe pieces.append(header: stream.sectionHeader.baseAddress!, stream.sectionHeader.count)
        describeInterfaces(stream)
        describeLanes(stream)
    }

    /// A file goes: what is in flight of it, and the batch in hand, can still arrive, but not be sent again. Returns the
    /// packets of that.
    mutating func letGo(ofFile file: UInt32) -> UInt64 {
        var packets = inFlight.letGo(ofFile: file)
        for place in pieces.first..<pieces.end {
            let note = unsafe pieces.notes[place]
            guard note.isBatch, note.disk.file == file else { continue }
            unsafe pieces.notes[place].disk = .none
            packets += UInt64(note.packets)
        }
        guard let disk = unsafe disk, unsafe disk.pointee.isSending, unsafe disk.pointee.place.file == file,
            unsafe !disk.pointee.isLetGo
        else { return packets }
        // Half a batch may be in the socket. The descriptor stays until the other half is there, too.
        unsafe disk.pointee.isLetGo = true
        return unsafe packets + UInt64(disk.pointee.batch.packets)
    }

    /// Goes over everything that is in flight and owed from disk.
    func forEachOnDisk(_ body: (DiskPlace) -> Void) {
        inFlight.forEachOnDisk(body)
        for place in pieces.first..<pieces.end where unsafe pieces.notes[place].disk.isSomewhere {
            unsafe body(pieces.notes[place].disk)
        }
        if let disk = unsafe disk, unsafe disk.pointee.isSending, unsafe !disk.pointee.isLetGo {
            body(unsafe disk.pointee.place)
        }
    }
}
