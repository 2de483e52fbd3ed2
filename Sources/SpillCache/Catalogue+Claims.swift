/// What destinations are owed: bits for what they were not sent, counts for that and what is in flight.
extension Catalogue {
    /// From now on a batch is owed to a destination from here; if `isUnsent` it was not sent yet, otherwise it is in flight.
    @_noLocks public func owe(_ claimant: Int, _ place: DiskPlace, packets: UInt32, isUnsent: Bool) {
        let claim = unsafe claim(claimant, place.file)
        unsafe files[Int(place.file)].isDirty = true
        unsafe claim.pointee.owed += 1
        unsafe claim.pointee.owedPackets += UInt64(packets)
        unsafe claimants[claimant].owedPackets += UInt64(packets)
        if isUnsent { putBack(claimant, place) }
    }

    /// A batch that was in flight is unsent again.
    @_noLocks public func putBack(_ claimant: Int, _ place: DiskPlace) {
        unsafe words(claimant, place.file)[Int(place.ordinal >> 6)] |= 1 << UInt64(place.ordinal & 63)
        unsafe claim(claimant, place.file).pointee.unsent += 1
        unsafe claimants[claimant].unsent += 1
        unsafe claimants[claimant].isStale = true
    }

    /// A batch was chosen: it is not offered again unless it is put back.
    @_noLocks public func take(_ claimant: Int, _ place: DiskPlace) {
        unsafe words(claimant, place.file)[Int(place.ordinal >> 6)] &= ~(1 << UInt64(place.ordinal & 63))
        unsafe claim(claimant, place.file).pointee.unsent -= 1
        unsafe claimants[claimant].unsent -= 1
    }

    /// A batch that was chosen is owed no more: delivered, or given up.
    @_noLocks public func settle(_ claimant: Int, _ place: DiskPlace, packets: UInt32) {
        let claim = unsafe claim(claimant, place.file)
        unsafe files[Int(place.file)].isDirty = true
        unsafe claim.pointee.owed -= 1
        unsafe claim.pointee.owedPackets -= UInt64(packets)
        unsafe claimants[claimant].owedPackets -= UInt64(packets)
    }

    @_noLocks func isUnsent(_ claimant: Int, _ file: UInt32, _ ordinal: UInt16) -> Bool {
        unsafe words(claimant, file)[Int(ordinal >> 6)] >> UInt64(ordinal & 63) & 1 == 1
    }

    /// Whether anybody is owed anything in a file.
    @_noLocks public func isOwed(_ file: UInt32) -> Bool {
        var claimant = 0
        while claimant < claimantCount {
            if unsafe claim(claimant, file).pointee.owed > 0 { return true }
            claimant += 1
        }
        return false
    }

    /// Packets owed to a destination in a file, in flight included.
    @_noLocks public func owedPackets(_ claimant: Int, in file: UInt32) -> UInt64 {
        unsafe claim(claimant, file).pointee.owedPackets
    }

    // ---- what is next --------------------------------------------------------------------------------------------

    /// The newest batch on disk that a destination was not sent, or the oldest; nil if there is none, and if the map of its
    /// file is still to come.
    @_noLocks public func next(_ claimant: Int, newestFirst: Bool) -> DiskPlace? {
        let place = unsafe claimants + claimant
        guard unsafe place.pointee.unsent > 0 else { return nil }
        if unsafe place.pointee.isStale || place.pointee.file == .max
            || claim(claimant, place.pointee.file).pointee.unsent == 0
        {
            chooseFile(claimant, newestFirst: newestFirst)
        }
        let file = unsafe place.pointee.file
        guard file != .max else { return nil }
        let map = unsafe files[Int(file)].map
        guard map >= 0 else {
            unsafe place.pointee.wanted = file
            return nil
        }
        let order = unsafe ranks(map)
        let count = Int32(bitPattern: unsafe files[Int(file)].batches)
        while unsafe place.pointee.rank >= 0 && place.pointee.rank < count {
            let ordinal = unsafe order[Int(place.pointee.rank)]
            if isUnsent(claimant, file, ordinal) { return DiskPlace(file: file, ordinal: UInt32(ordinal)) }
            unsafe place.pointee.rank += newestFirst ? -1 : 1
        }
        // Bits without a batch do not exist; the next look begins anew.
        unsafe place.pointee.isStale = true
        return nil
    }

    /// Whether some destination waits for the map of a file.
    public var isMapWanted: Bool {
        @_noLocks get {
            var claimant = 0
            while claimant < claimantCount {
                if unsafe claimants[claimant].wanted != .max { return true }
                claimant += 1
            }
            return false
        }
    }

    /// Whether a destination was not sent some batch that arrived then or later. True as well while that is not known.
    @_noLocks public func hasUnsent(_ claimant: Int, since arrival: UInt64) -> Bool {
        guard let place = next(claimant, newestFirst: true) else {
            let file = unsafe claimants[claimant].file
            // What is not offered is not waited for.
            guard unsafe claimants[claimant].unsent > 0, file != .max else { return false }
            return unsafe files[Int(file)].lastArrival >= arrival
        }
        return batch(place).arrival >= arrival
    }

    /// The file with the newest arrival among those in which the destination is owed something, or the oldest.
    @_noLocks private func chooseFile(_ claimant: Int, newestFirst: Bool) {
        var best = UInt32.max
        var place = 0
        while unsafe place < totals.pointee.used {
            let file = UInt32(truncatingIfNeeded: place)
            place += 1
            guard unsafe claim(claimant, file).pointee.unsent > 0, isOffered(file, to: claimant) else { continue }
            if best == .max || isBefore(file, best, newestFirst: newestFirst) { best = file }
        }
        unsafe claimants[claimant].file = best
        unsafe claimants[claimant].isStale = false
        unsafe claimants[claimant].rank =
            newestFirst && best != .max ? Int32(bitPattern: files[Int(best)].batches) - 1 : 0
    }

    @_noLocks func isOffered(_ file: UInt32, to claimant: Int) -> Bool {
        unsafe files[Int(file)].withheld >> UInt64(truncatingIfNeeded: claimant) & 1 == 0
    }

    @_noLocks func isBefore(_ one: UInt32, _ other: UInt32, newestFirst: Bool) -> Bool {
        let (left, right) = unsafe (files[Int(one)], files[Int(other)])
        return newestFirst ? left.lastArrival > right.lastArrival : left.firstArrival < right.firstArrival
    }
}
