internal import Fragments
internal import Pcapng
internal import SpillCache

/// What a cache has for destinations: its files newest first, and the batches they say they have. All of one link type, which
/// is what one connection carries.
struct CacheStock: Sendable {
    let directory: DirectoryHandle
    /// Somebody may be writing the last file, so that its end means nothing.
    let isLive: Bool
    let linkType: UInt16
    /// Files with batches, the one with the latest arrival first.
    let files: [SurveyedFile]
    /// The batches by identity.
    let identities: BatchSet
    /// Batches and packets of all files.
    let batches: UInt64, packets: UInt64

    /// One for each link type of a cache, the one with the latest arrival first.
    static func all(_ survey: CacheSurvey, in directory: DirectoryHandle) -> [CacheStock] {
        let files = survey.files.filter(hasAny)
            .sorted { ($0.times.lastArrival, $0.name) > ($1.times.lastArrival, $1.name) }
        var types: [UInt16] = []
        for file in files where !types.contains(file.linkType!) { types.append(file.linkType!) }
        return types.map { type in
            CacheStock(files.filter { $0.linkType == type }, type, directory, isLive: survey.owner != nil)
        }
    }

    /// Faulty files that have nothing for anybody. What is wrong with the others is found when they are read.
    static func leftOut(_ survey: CacheSurvey) -> [SurveyedFile] { survey.faulty.filter { !hasAny($0) } }

    private static func hasAny(_ file: SurveyedFile) -> Bool {
        file.batches > 0 && file.state != .foreign && file.linkType != nil
    }

    private init(_ files: [SurveyedFile], _ linkType: UInt16, _ directory: DirectoryHandle, isLive: Bool) {
        (self.files, self.linkType, self.directory, self.isLive) = (files, linkType, directory, isLive)
        var set = BatchSet()
        for range in files.flatMap(\.identities) { set.insert(range) }
        identities = set
        batches = files.reduce(0) { $0 + $1.batches }
        packets = files.reduce(0) { $0 + $1.packets }
    }

    /// The inventory of a session: nothing below a mark is excluded, because another relay, the one that owns the cache, may
    /// have what is not here (docs/format.md, "What an inventory says").
    func inventory() -> [(lane: BatchLane, mark: UInt64)] {
        identities.lanes.sorted().map { lane in (lane, identities.ranges(of: lane).last?.upperBound ?? 0) }
    }
}
