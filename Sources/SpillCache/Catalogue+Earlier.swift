/// Files of an earlier life, and maps that are brought in again. Control plane.
extension Catalogue {
    /// Takes in a sealed file that was found at the start. Returns its place, nil if there is no room for it.
    public func add(_ earlier: EarlierFile, runPlace: UInt16) -> UInt32? {
        let summary = earlier.summary
        guard
            let place = begin(
                run: earlier.name.run, number: earlier.name.number, start: earlier.name.start, descriptor: -1)
        else { return nil }
        var file = self[file: place]
        if file.map >= 0 { unsafe maps[Int(file.map)].file = .max }
        (file.map, file.state) = (-1, .closed)
        (file.batches, file.packets) = (UInt32(summary.batches), summary.packets)
        (file.firstArrival, file.lastArrival) = (summary.times.firstArrival, summary.times.lastArrival)
        (file.end, file.bytes, file.runPlace) = (summary.footerOffset, earlier.byteCount, runPlace)
        unsafe totals.pointee.bytes += file.bytes
        self[file: place] = file
        return place
    }

    /// Says what a destination is owed of a file: of its first batches those whose bits are set, and all behind these.
    ///
    /// - Parameters:
    ///   - bits: a bit for each of the first `known` batches.
    ///   - packets: packets of all that is owed.
    public func oweMany(_ claimant: Int, _ place: UInt32, bits: [UInt64], known: UInt32, packets: UInt64) {
        let batches = unsafe files[Int(place)].batches
        let (claim, words) = unsafe (claim(claimant, place), words(claimant, place))
        for ordinal in 0..<batches {
            let word = Int(ordinal >> 6)
            let isOwed = ordinal >= known || word < bits.count && bits[word] >> UInt64(ordinal & 63) & 1 == 1
            guard isOwed else { continue }
            unsafe words[word] |= 1 << UInt64(ordinal & 63)
            unsafe claim.pointee.unsent += 1
        }
        unsafe claim.pointee.owed = claim.pointee.unsent
        unsafe claim.pointee.owedPackets = claim.pointee.owed == 0 ? 0 : packets
        unsafe claimants[claimant].owedPackets += claim.pointee.owedPackets
        unsafe claimants[claimant].unsent += UInt64(claim.pointee.unsent)
        unsafe claimants[claimant].isStale = true
    }

    /// Sets right how many packets a destination is owed of a file that has a map and of which nothing is in flight: what is
    /// written down of it can be wrong. Returns how many it was owed before, nil if that is right.
    public func recount(_ claimant: Int, _ place: UInt32) -> UInt64? {
        let claim = unsafe claim(claimant, place)
        guard unsafe claim.pointee.owed > 0, unsafe claim.pointee.owed == claim.pointee.unsent else { return nil }
        var packets: UInt64 = 0
        for (ordinal, batch) in batches(of: place).enumerated() where isUnsent(claimant, place, UInt16(ordinal)) {
            packets += UInt64(batch.packets)
        }
        let before = unsafe claim.pointee.owedPackets
        guard packets != before else { return nil }
        unsafe claim.pointee.owedPackets = packets
        unsafe claimants[claimant].owedPackets -= before
        unsafe claimants[claimant].owedPackets += packets
        unsafe files[Int(place)].isDirty = true
        return before
    }

    /// A destination is owed nothing of a file any more, but for what is in flight. Returns the packets it was owed.
    public func release(_ claimant: Int, _ place: UInt32) -> UInt64 {
        let claim = unsafe claim(claimant, place)
        let packets = unsafe claim.pointee.owedPackets
        if unsafe claim.pointee.owed > 0 { unsafe files[Int(place)].isDirty = true }
        unsafe claimants[claimant].owedPackets -= packets
        unsafe claimants[claimant].unsent -= UInt64(claim.pointee.unsent)
        unsafe claimants[claimant].isStale = true
        unsafe claim.pointee = Claim()
        for word in 0..<64 { unsafe words(claimant, place)[word] = 0 }
        return packets
    }

    /// The bits of what a destination was not sent of a file, and whether it is owed anything of it.
    public func unsentBits(_ claimant: Int, _ place: UInt32) -> [UInt64]? {
        guard unsafe claim(claimant, place).pointee.owed > 0 else { return nil }
        let count = (Int(unsafe files[Int(place)].batches) + 63) / 64
        return (0..<count).map { unsafe words(claimant, place)[$0] }
    }

    // ---- maps ----------------------------------------------------------------------------------------------------

    /// The file whose map a destination waits for.
    public func wanted(_ claimant: Int) -> UInt32? {
        let file = unsafe claimants[claimant].wanted
        guard file != .max else { return nil }
        unsafe claimants[claimant].wanted = .max
        guard case .vacant = unsafe files[Int(file)].state else { return unsafe files[Int(file)].map < 0 ? file : nil }
        return nil
    }

    /// The file that a destination will be sent from when it is through with the present one, if that has no map yet and
    /// there is a map to spare.
    public func following(_ claimant: Int, newestFirst: Bool) -> UInt32? {
        let present = unsafe claimants[claimant].file
        guard present != .max, (0..<mapCount).contains(where: { unsafe maps[$0].file == .max }) else { return nil }
        var best: UInt32?
        for place in 0..<UInt32(used) where place != present {
            guard unsafe claim(claimant, place).pointee.unsent > 0, isOffered(place, to: claimant) else { continue }
            if best == nil || isBefore(place, best!, newestFirst: newestFirst) { best = place }
        }
        return best.flatMap { unsafe files[Int($0)].map < 0 ? $0 : nil }
    }

    /// Gives a closed file a map with these batches, in the order of the file; false if all maps are taken.
    public func install(_ batches: [DiskBatch], at place: UInt32, descriptor: Int32) -> Bool {
        let map = freeMap(for: place)
        guard map >= 0 else { return false }
        for (ordinal, batch) in batches.enumerated() { unsafe mapped(map)[ordinal] = batch }
        let order = batches.indices.sorted { batches[$1].isLater(than: batches[$0]) }
        for (rank, ordinal) in order.enumerated() { unsafe ranks(map)[rank] = UInt16(ordinal) }
        unsafe trusts(map).update(repeating: .unknown, count: batches.count)
        unsafe files[Int(place)].map = map
        unsafe files[Int(place)].descriptor = descriptor
        for claimant in 0..<claimantCount where unsafe claimants[claimant].file == place {
            unsafe claimants[claimant].isStale = true
        }
        return true
    }

    /// A closed file that has a map and that nobody is being sent from, as long as there are no more than `spare` free maps;
    /// its map and descriptor can be taken from it (`unload`).
    ///
    /// - Parameter except: files that will be needed soon.
    public func leastUseful(spare: Int, except: Set<UInt32>) -> UInt32? {
        let free = (0..<mapCount).count { unsafe maps[$0].file == .max }
        guard free <= spare else { return nil }
        return (0..<mapCount).lazy.map { unsafe maps[$0].file }.first { file in
            guard file != .max, !except.contains(file), case .closed = unsafe files[Int(file)].state else {
                return false
            }
            return (0..<claimantCount).allSatisfy { unsafe claimants[$0].file != file }
        }
    }

    /// Takes a file's map from it; returns its descriptor, which is the caller's to close.
    public func unload(_ place: UInt32) -> Int32 {
        let file = unsafe files[Int(place)]
        if file.map >= 0 { unsafe maps[Int(file.map)].file = .max }
        unsafe files[Int(place)].map = -1
        unsafe files[Int(place)].descriptor = -1
        return file.descriptor
    }

    /// All batches of a file that has a map, with their ordinals.
    public func batches(of place: UInt32) -> [DiskBatch] {
        let file = self[file: place]
        guard file.map >= 0 else { return [] }
        return (0..<Int(file.batches)).map { unsafe mapped(file.map)[$0] }
    }

    /// Whether a destination was not sent a batch.
    public func isUnsent(_ claimant: Int, _ place: DiskPlace) -> Bool {
        isUnsent(claimant, place.file, UInt16(truncatingIfNeeded: place.ordinal))
    }
}
