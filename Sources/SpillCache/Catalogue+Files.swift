internal import CMachine
public import Pcapng

/// Files coming and going.
extension Catalogue {
    /// A file begins. Returns its place, nil if there is no room for one.
    @_noLocks public func begin(run: RunIdentity, number: UInt64, start: UInt64, descriptor: Int32) -> UInt32? {
        var place = 0
        while place < fileLimit {
            if case .vacant = unsafe files[place].state { break }
            place += 1
        }
        guard place < fileLimit else { return nil }
        var file = CatalogueFile()
        file.state = .open
        (file.run, file.number, file.start, file.descriptor) = (run, number, start, descriptor)
        file.map = freeMap(for: UInt32(truncatingIfNeeded: place))
        unsafe files[place] = file
        unsafe totals.pointee.used = max(totals.pointee.used, place + 1)
        unsafe totals.pointee.files += 1
        clearClaims(UInt32(truncatingIfNeeded: place))
        return UInt32(truncatingIfNeeded: place)
    }

    /// The open file of this number, nil if there is none.
    @_noLocks public func openFile(number: UInt64) -> UInt32? {
        var place = 0
        while unsafe place < totals.pointee.used {
            if case .open = unsafe files[place].state, unsafe files[place].number == number {
                return UInt32(truncatingIfNeeded: place)
            }
            place += 1
        }
        return nil
    }

    /// A batch was added to an open file.
    @_noLocks public func append(_ batch: DiskBatch, to place: UInt32) -> DiskPlace {
        let file = unsafe files + Int(place)
        let ordinal = unsafe file.pointee.batches
        precondition(ordinal < 4096, "a file with no more batches than its bits can name")
        unsafe file.pointee.batches += 1
        unsafe file.pointee.isDirty = true
        unsafe file.pointee.packets += UInt64(batch.packets)
        unsafe file.pointee.firstArrival = min(file.pointee.firstArrival, batch.arrival)
        unsafe file.pointee.lastArrival = max(file.pointee.lastArrival, batch.arrival)
        grow(place, to: batch.end)
        if unsafe file.pointee.map >= 0 { insert(batch, ordinal, unsafe file.pointee.map) }
        return DiskPlace(file: place, ordinal: ordinal)
    }

    /// Puts a batch at its place in the order of its map; new ones are nearly always the newest.
    @_noLocks private func insert(_ batch: DiskBatch, _ ordinal: UInt32, _ map: Int32) {
        let (all, order) = unsafe (mapped(map), ranks(map))
        unsafe all[Int(ordinal)] = batch
        unsafe trusts(map)[Int(ordinal)] = .unknown
        var rank = Int(ordinal)
        while rank > 0, unsafe all[Int(order[rank - 1])].isLater(than: batch) {
            unsafe order[rank] = order[rank - 1]
            rank -= 1
        }
        unsafe order[rank] = UInt16(truncatingIfNeeded: ordinal)
    }

    /// Takes note of a file's length, and of the bytes it has on disk.
    @_noLocks public func grow(_ place: UInt32, to end: UInt64) {
        let file = unsafe files + Int(place)
        guard unsafe end > file.pointee.end else { return }
        unsafe file.pointee.end = end
        if unsafe end > file.pointee.bytes {
            unsafe totals.pointee.bytes += end - file.pointee.bytes
            unsafe file.pointee.bytes = end
        }
    }

    /// Nothing will be added to a file any more.
    @_noLocks public func close(_ place: UInt32) {
        unsafe files[Int(place)].state = .closed
    }

    /// A file is gone. What was owed in it must have been released; its descriptor is the caller's.
    @_noLocks public func remove(_ place: UInt32) {
        let file = unsafe files + Int(place)
        if unsafe file.pointee.map >= 0 { unsafe maps[Int(file.pointee.map)].file = .max }
        unsafe totals.pointee.bytes -= file.pointee.bytes
        unsafe totals.pointee.files -= 1
        unsafe file.pointee = CatalogueFile()
        while unsafe totals.pointee.used > 0 {
            guard case .vacant = unsafe files[totals.pointee.used - 1].state else { break }
            unsafe totals.pointee.used -= 1
        }
    }

    @_noLocks private func clearClaims(_ place: UInt32) {
        var claimant = 0
        while claimant < claimantCount {
            unsafe claim(claimant, place).pointee = Claim()
            unsafe spillway_fill(words(claimant, place), 0, 512)
            claimant += 1
        }
    }

    // ---- maps ----------------------------------------------------------------------------------------------------

    /// A map that no file has, for this one; negative if there is none.
    @_noLocks func freeMap(for file: UInt32) -> Int32 {
        var map = 0
        while map < mapCount {
            if unsafe maps[map].file == .max {
                unsafe maps[map].file = file
                return Int32(truncatingIfNeeded: map)
            }
            map += 1
        }
        return -1
    }

    /// What is known of a batch; its file has a map.
    @_noLocks public func batch(_ place: DiskPlace) -> DiskBatch {
        unsafe mapped(files[Int(place.file)].map)[Int(place.ordinal)]
    }
}
