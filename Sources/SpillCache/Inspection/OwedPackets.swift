public import Machine

/// What a destination is still owed of a cache, as the notes beside the files say; what was delivered since the last note
/// counts as owed.
public struct OwedPackets: Sendable, Equatable {
    /// The destination's name.
    public var name: String
    /// Files, batches and packets of which something is owed.
    public var files: UInt64 = 0
    /// Batches that are owed.
    public var batches: UInt64 = 0
    /// Packets of these batches.
    public var packets: UInt64 = 0
}

extension CacheSurvey {
    /// What every destination is owed, by name. A file without a note is owed to all destinations the cache knows
    /// (docs/format.md, "Beside the relay's cache files").
    public func owed(in directory: DirectoryHandle) throws(SystemError) -> [OwedPackets] {
        let known = try directory.content(KnownDestinations.fileName, limit: 1 << 20).flatMap {
            try? KnownDestinations($0)
        }
        var sums: [String: OwedPackets] = [:]
        for name in known?.names ?? [] { sums[name] = OwedPackets(name: name) }
        for file in files where file.batches > 0 {
            let content = try directory.content(OwedFile.name(of: file.cacheName), limit: 64 << 20)
            for part in file.owed(by: content.flatMap { try? OwedFile($0) }, known?.names ?? []) where part.batches > 0
            {
                var sum = sums[part.name] ?? OwedPackets(name: part.name)
                sum.files += 1
                sum.batches += part.batches
                sum.packets += part.packets
                sums[part.name] = sum
            }
        }
        return sums.values.sorted { $0.name < $1.name }
    }
}

extension SurveyedFile {
    /// What is owed of this file. Batches that came after the note was written are owed to everybody in it.
    fileprivate func owed(by note: OwedFile?, _ known: [String]) -> [OwedPackets] {
        // What is written into a file right now may be in the note before it is seen in the file, or the other way round.
        guard let note, state == .open || note.canSpeak(of: batches, packets: packets) else {
            return known.map { OwedPackets(name: $0, batches: batches, packets: packets) }
        }
        let (newBatches, newPackets) = (
            batches - min(batches, UInt64(note.batches)), packets - min(packets, note.packets)
        )
        return note.destinations.map { destination in
            let noted = destination.bits.reduce(UInt64(0)) { $0 + UInt64($1.nonzeroBitCount) }
            return OwedPackets(
                name: destination.name, batches: noted + newBatches, packets: destination.packets + newPackets)
        }
    }
}
