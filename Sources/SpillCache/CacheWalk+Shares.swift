internal import Glibc
internal import Machine
internal import Pcapng

/// Whose the batches of a sealed file are, where destinations have shares. Footers do not say that.
extension CacheWalk {
    /// The batches, in the order of the file, each with the destination whose share its lane is; nil if no lane is anybody's
    /// share, and if the file is not what its footer says.
    static func shares(
        of name: CacheFileName, _ footer: CacheFooter, in directory: DirectoryHandle
    ) -> [OwedFile.FoundBatch]? {
        guard let start = footer.index.first?.offset,
            let file = try? OpenFile(name.sealed, in: directory, flags: O_RDONLY)
        else { return nil }
        let lanes = Set(footer.ranges.map(\.lane.lane))
        // What stands before the first batch nearly always tells, so that the rest need not be read.
        if let head = description(file.descriptor, [0..<start]),
            lanes.allSatisfy({ head.describes(lane: $0) && head.owner(ofLane: $0) == nil })
        {
            return nil
        }
        let expected = CacheRecall.Expected(
            run: name.run, batches: UInt32(footer.summary.batches), packets: footer.summary.packets,
            ranges: footer.ranges)
        guard let walk = try? run(file.descriptor, to: footer.summary.footerOffset, file.path, between: {}),
            agrees(walk.batches, expected), let section = description(file.descriptor, walk.checked)
        else { return nil }
        let owners = Dictionary(uniqueKeysWithValues: lanes.map { ($0, section.owner(ofLane: $0)) })
        return walk.batches.map { .init(packets: $0.packets, owner: owners[$0.lane] ?? nil) }
    }
}
