/// Every batch is checked shortly before it is sent from disk, whoever wrote it: nothing goes out of a file unchecked.
extension Catalogue {
    /// What is known of the bytes of a batch.
    public enum Trust: UInt8, BitwiseCopyable, Sendable {
        /// Nobody has looked.
        case unknown
        /// Somebody is looking.
        case asked
        /// Every byte checks.
        case good
        /// Something does not.
        case bad
        /// The same, and it is owed to nobody any more.
        case lost
    }

    /// What is known of a batch's bytes. Its file has a map.
    @_noLocks public func trust(_ place: DiskPlace) -> Trust {
        unsafe trusts(files[Int(place.file)].map)[Int(place.ordinal)]
    }

    @_noLocks func trusts(_ map: Int32) -> UnsafeMutablePointer<Trust> { unsafe trust + Int(map) * 4096 }

    /// Asks for a check of batches nobody has looked at: of this one, and of those that come after it in the order in which
    /// they are sent, as far as they lie within a part of the file. The one named may be longer than that.
    ///
    /// - Returns: the last one asked for; nil if nothing could be.
    @_noLocks public func askForCheck(
        from place: DiskPlace, downwards: Bool, start: UInt64, end: UInt64, through queue: CheckQueue
    ) -> DiskPlace? {
        let file = unsafe files[Int(place.file)]
        let (all, known) = unsafe (mapped(file.map), trusts(file.map))
        var (first, last) = (place.ordinal, place.ordinal)
        while last &- first < 63 {
            let next = downwards ? first &- 1 : last &+ 1
            // Below 0 is beyond the end, too.
            guard next < file.batches, case .unknown = unsafe known[Int(next)], unsafe all[Int(next)].offset >= start,
                unsafe all[Int(next)].end <= end
            else { break }
            if downwards { first = next } else { last = next }
        }
        let job = CheckJob(
            file, at: place.file, first: first, count: last &- first &+ 1,
            batches: UInt(bitPattern: unsafe all + Int(first)))
        guard queue.push(job) else { return nil }
        unsafe files[Int(place.file)].checks += 1
        var ordinal = first
        while ordinal <= last {
            unsafe known[Int(ordinal)] = .asked
            ordinal += 1
        }
        return DiskPlace(file: place.file, ordinal: downwards ? first : last)
    }

    /// Takes what was found out; returns how many answers that were.
    @_noLocks public func takeChecked(from queue: CheckQueue) -> Int {
        var taken = 0
        while let job = queue.pop() {
            taken += 1
            unsafe files[Int(job.file)].checks -= 1
            let known = unsafe trusts(files[Int(job.file)].map)
            var place: UInt32 = 0
            while place < job.count {
                let isBad = job.bad >> UInt64(place) & 1 == 1
                unsafe known[Int(job.first + place)] = job.failure != 0 ? .unknown : isBad ? .bad : .good
                place += 1
            }
            if job.bad != 0 { unsafe totals.pointee.hasBad = true }
            if job.failure != 0 {
                unsafe files[Int(job.file)].failure = job.failure
            } else if job.bad != 0 {
                unsafe files[Int(job.file)].hasBad = true
            }
        }
        return taken
    }

    // ---- control plane -------------------------------------------------------------------------------------------

    /// Whether bad batches were found in any file, or it could not be read, since the last time.
    public func takeHasBad() -> Bool {
        defer { unsafe totals.pointee.hasBad = false }
        return unsafe totals.pointee.hasBad
    }

    /// Why a file could not be read when it was to be checked, since the last time (errno); nil if it could.
    public func takeFailure(_ place: UInt32) -> Int32? {
        let failure = unsafe files[Int(place)].failure
        guard failure != 0 else { return nil }
        unsafe files[Int(place)].failure = 0
        return failure
    }

    /// The batches of a file that were found to be bad since the last time.
    public func takeBad(in place: UInt32) -> [DiskPlace] {
        let file = self[file: place]
        guard file.hasBad, file.map >= 0 else { return [] }
        unsafe files[Int(place)].hasBad = false
        var bad: [DiskPlace] = []
        for ordinal in 0..<file.batches {
            guard case .bad = unsafe trusts(file.map)[Int(ordinal)] else { continue }
            unsafe trusts(file.map)[Int(ordinal)] = .lost
            bad.append(DiskPlace(file: place, ordinal: ordinal))
        }
        return bad
    }

    /// Whether batches of the file with this descriptor are being checked.
    public func isBeingChecked(_ descriptor: Int32) -> Bool {
        (0..<used).contains { unsafe files[$0].descriptor == descriptor && files[$0].checks > 0 }
    }
}
