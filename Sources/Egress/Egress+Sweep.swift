internal import Admission
internal import Machine
internal import SegmentPool
internal import SpillCache

/// What leaves memory for the disk: the oldest that nobody was sent, when it has waited for too long or when memory fills up.
extension Egress {
    /// Sends segments off to disk; returns how many.
    @_noLocks mutating func sweep(now: UInt64) -> Int {
        guard let line = unsafe spill, unsafe now >= line.pointee.nextTry, unsafe !line.pointee.isEnding,
            !holdsSweep, care.hasBegunNotes || !care.hasNotes
        else { return 0 }
        var started = 0
        while unsafe line.pointee.hasRoom, let segment = nextToSpill(now: now) {
            let wanted = unsafe line.pointee.freeSet()
            unsafe index.lend(segment, unsent: wanted)
            var place = 0
            while place < connectionCount {
                let connection = unsafe connections + place
                if unsafe connection.pointee.disk != nil {
                    // What was chosen and not begun can be chosen again elsewhere.
                    unsafe connection.pointee.unchoose(&index)
                    unsafe connection.pointee.addInFlight(of: segment, to: wanted)
                }
                place += 1
            }
            // The disk owes an answer from now on.
            if unsafe line.pointee.underWay == 0 { unsafe line.pointee.lastAnswer = now }
            unsafe line.pointee.send(segment, batches: index.batchCount(of: segment))
            started += 1
        }
        if started > 0 { unsafe line.pointee.publish() }
        // While the disk takes nothing, segments that are not full would only make memory smaller.
        if unsafe line.pointee.failure == 0 {
            index.askToLeave(since: unsafe now &+ utcOffset &- line.pointee.memoryAge)
        }
        return started
    }

    /// Diverted segments first: they are to be on disk as soon as they can.
    @_noLocks private func nextToSpill(now: UInt64) -> UInt32? {
        if index.divertsLast, hasRoomOnDisk, let segment = index.oldestDivertedToSpill() { return segment }
        guard let segment = index.oldestToSpill(), isDue(segment, now: now) else { return nil }
        return segment
    }

    @_noLocks private func isDue(_ segment: UInt32, now: UInt64) -> Bool {
        guard let line = unsafe spill else { return false }
        // At the end room is made; but not where files are read, which would go beyond any limit with run after run.
        if unsafe line.pointee.sweepsAll, !setup.isFileInput { return true }
        guard hasRoomOnDisk else { return false }
        if unsafe line.pointee.sweepsAll { return true }
        // What is to be kept is written as soon as it can be.
        if keepSlot >= 0 { return true }
        let left = unsafe index.occupiedSegments - line.pointee.underWay
        if unsafe left > line.pointee.marks.sweepAbove { unsafe line.pointee.isSweeping = true }
        if unsafe left <= line.pointee.marks.sweepTo { unsafe line.pointee.isSweeping = false }
        if unsafe line.pointee.isSweeping { return true }
        return unsafe index.firstArrival(inSegment: segment) &+ line.pointee.memoryAge <= now &+ utcOffset
    }

    /// Whether something is on its way to disk, or could be.
    var isSpilling: Bool {
        @_noLocks get {
            guard let line = unsafe spill, unsafe line.pointee.failure == 0 else { return false }
            return unsafe line.pointee.underWay > 0 || hasRoomOnDisk && index.oldestToSpill() != nil
        }
    }

    /// Whether the cache may grow by what is under way and one segment more.
    var hasRoomOnDisk: Bool {
        @_noLocks get {
            guard let line = unsafe spill else { return false }
            let more = unsafe UInt64(line.pointee.underWay + 1) * UInt64(index.pool.segmentBytes)
            return unsafe line.pointee.catalogue.byteCount + more <= spillBytes
        }
    }
}

extension Destination {
    /// Adds what is in the socket, or on its way into it, of a segment to a set of its batches.
    @_noLocks func addInFlight(of segment: UInt32, to words: UnsafeMutablePointer<UInt64>) {
        unsafe inFlight.addOrdinals(of: segment, to: words)
        var place = pieces.first
        while place < pieces.end {
            let note = unsafe pieces.notes[place]
            if note.isBatch, !note.isOrphan, note.reference.segment == segment {
                unsafe words[Int(note.reference.ordinal >> 6)] |= 1 << UInt64(note.reference.ordinal & 63)
            }
            place += 1
        }
    }

    /// A stretch of batches is on disk: what is in flight of it can be sent again from there.
    @_noLocks mutating func moveInFlight(
        from first: BatchReference, count: UInt32, to start: DiskPlace, _ index: inout BatchIndex
    ) {
        guard let disk = unsafe disk else { return }
        let (catalogue, claimant) = unsafe (disk.pointee.catalogue, disk.pointee.claimant)
        var place = inFlight.searchStart
        while let entry = inFlight.moveNext(from: &place, first, count: count, to: start) {
            catalogue.owe(claimant, entry.disk, packets: entry.packets, isUnsent: false)
            index.settle(slot, entry.reference)
        }
        var piece = pieces.first
        while piece < pieces.end {
            let note = unsafe pieces.notes[piece]
            let ordinal = note.reference.ordinal &- first.ordinal
            if note.isBatch, !note.isOrphan, note.reference.segment == first.segment, ordinal < count {
                let target = DiskPlace(file: start.file, ordinal: start.ordinal + ordinal)
                unsafe pieces.notes[piece].disk = target
                unsafe pieces.notes[piece].isOrphan = true
                moveToScratch(piece)
                catalogue.owe(claimant, target, packets: note.packets, isUnsent: false)
                index.settle(slot, note.reference)
            }
            piece += 1
        }
    }
}
