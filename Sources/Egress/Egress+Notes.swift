internal import Machine
internal import Pcapng
internal import SpillCache

/// What is written down beside the files of a cache: who is owed what, and who there is. Control plane.
///
/// A file that nothing is written down about is owed to every name there is; whoever is a name there, but not in the note of
/// a file, is owed nothing of it. So what is owed is written first, and names behind it. What was owed to a name that is none
/// of this run stays in the notes, and its files stay, until the input has begun and it is said that it is let go.
extension Egress {
    /// The input has begun, so that this is no start that fails: from now on what is written down is what this run knows.
    /// Before this nothing is written to the cache that could be owed to anybody: `sweep` waits for it.
    mutating func beginNotes(_ cache: CacheSide) {
        guard care.hasNotes, !care.hasBegunNotes, stream.interfaces.count > 0 else { return }
        care.hasBegunNotes = true
        for (name, packets) in owedToFormer.sorted(by: { $0.key < $1.key }) where packets > 0 {
            setup.log("--spill: \(name) is no destination any more: \(packets) packets that it was owed are let go")
        }
        for (place, file) in care.earlier where !file.isNoted || file.owed?.destinations.isEmpty == false {
            cache.catalogue[file: place].isDirty = true
        }
        (care.former, care.earlier, care.held) = ([], [:], [])
        let notes = changedNotes(cache)
        do throws(SystemError) {
            for (name, note) in notes {
                try cache.setup.directory.replace(name, with: note.bytes, durably: false)
            }
            try cache.setup.directory.replace(
                KnownDestinations.fileName, with: care.known.bytes, durably: cache.setup.sync != .none)
        } catch {
            setup.log("--spill: \(error)")
            // The keeper tries again until the disk takes them.
            for (name, note) in notes { cache.keeper.write(name, note.bytes) }
            cache.keeper.write(KnownDestinations.fileName, care.known.bytes)
        }
    }

    /// Packets that earlier lives owed to those who are no destinations of this one.
    private var owedToFormer: [String: UInt64] {
        var owed: [String: UInt64] = [:]
        for part in care.earlier.values.flatMap({ $0.owed?.destinations ?? [] }) {
            owed[part.name, default: 0] += part.packets
        }
        return owed
    }

    /// Writes down what is owed of the files where that has changed.
    mutating func noteOwed(_ cache: CacheSide) {
        let notes = changedNotes(cache)
        guard !notes.isEmpty else { return }
        for (name, note) in notes { cache.keeper.write(name, note.bytes) }
        // In a directory that was made anew it is missing.
        if care.hasBegunNotes { cache.keeper.writeIfMissing(KnownDestinations.fileName, care.known.bytes) }
    }

    /// Writes down who there is, and before that what they are owed.
    mutating func noteNames(_ cache: CacheSide) {
        guard care.hasBegunNotes else { return }
        noteOwed(cache)
        cache.keeper.write(KnownDestinations.fileName, care.known.bytes)
    }

    /// Batches pass from one destination to another: from now on their lanes do not tell whose they are.
    mutating func notePassing() {
        guard let cache, !care.hasPassed else { return }
        care.hasPassed = true
        noteNames(cache)
    }

    /// A destination that comes back will be told that what has passed to others never comes. Before that it is written down:
    /// what is owed of which nothing is written down would be owed to nobody after a sudden end.
    ///
    /// - Returns: the keeper's work that must be done by then, nil if there is none.
    mutating func notesBeforeInventory() -> UInt64? {
        guard let cache, care.hasPassed else { return nil }
        noteOwed(cache)
        return cache.keeper.posted
    }

    /// A destination has greeted: from now on, in later lives too, it must.
    mutating func noteGreeting(_ place: Int) {
        guard let cache, let claimant = care.connections.firstIndex(of: place) else { return }
        if care.greeted.insert(care.names[claimant]).inserted { noteNames(cache) }
    }

    /// What is owed of the files where that has changed, by the names of the notes.
    private mutating func changedNotes(_ cache: CacheSide) -> [(name: String, note: OwedFile)] {
        var notes: [UInt32: OwedFile] = [:]
        let catalogue = cache.catalogue
        for place in 0..<UInt32(catalogue.used) {
            var file = catalogue[file: place]
            guard file.isDirty, !file.isGivenUp, file.state == .open || file.state == .closed else { continue }
            file.isDirty = false
            catalogue[file: place] = file
            notes[place] = OwedFile(
                batches: file.batches, packets: file.packets,
                destinations: care.names.indices.compactMap { claimant in
                    if care.names[claimant].isEmpty { return nil }
                    // Who was there when a file was open is owed what comes into it after this.
                    let bits = catalogue.unsentBits(claimant, place) ?? (file.state == .open ? [] : nil)
                    return bits.map {
                        OwedFile.Destination(
                            name: care.names[claimant], packets: catalogue.owedPackets(claimant, in: place), bits: $0)
                    }
                } + (care.earlier[place]?.owed?.destinations ?? []))
        }
        if notes.isEmpty { return [] }
        for (claimant, place) in care.connections.enumerated() where !care.names[claimant].isEmpty {
            let name = care.names[claimant]
            unsafe connections[place].forEachOnDisk { target in
                guard var note = notes[target.file],
                    let mine = note.destinations.firstIndex(where: { $0.name == name })
                else { return }
                note.destinations[mine].add(target.ordinal)
                notes[target.file] = note
            }
        }
        return notes.map { (OwedFile.name(of: catalogue[file: $0].name), $1) }
    }
}
