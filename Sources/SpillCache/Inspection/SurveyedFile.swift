internal import Machine
public import Pcapng

/// What is known of one file of a cache.
public struct SurveyedFile: Sendable {
    /// How the file stands.
    public enum State: String, Sendable {
        /// It has a footer that checks, and its final name.
        case sealed
        /// It is being written, or its writer ended before it was sealed.
        case open
        /// Something in it, or its footer, does not check.
        case damaged
        /// It is of a version that this program does not know.
        case foreign
        /// It could not be read.
        case unreadable
    }

    /// Its name in the directory.
    public var name: String
    /// The same, understood.
    public var cacheName: CacheFileName
    /// How it stands.
    public var state: State
    /// Its length when it was looked at, bytes.
    public var size: UInt64
    /// Batches, packets, and bytes of records that are good, as far as was looked.
    public var batches: UInt64 = 0, packets: UInt64 = 0, recordBytes: UInt64 = 0
    /// Packet times and arrivals of these batches.
    public var times = BatchTimes()
    /// The packet times it is meant for.
    public var window: Range<UInt64>?
    /// Link type of its interfaces.
    public var linkType: UInt16?
    /// What it is for.
    public var kind: CacheKind?
    /// The sensor's name; known only where the file was read, not from a footer.
    public var sensor: String?
    /// The runs whose batches are in it.
    public var runs: [RunIdentity] = []
    /// Which batches are in it, in order.
    public var identities: [BatchRange] = []
    /// What is wrong; at most `CacheDamage.limit` places of the file and what is wrong with its end.
    public var damage: [CacheDamage] = []
    /// Places that are wrong, and their bytes.
    public var damagedPlaces = 0, damagedBytes: UInt64 = 0
    /// Why it could not be read, or which version it is of.
    public var problem: String?

    /// Whether its name says that it is not sealed.
    public var isOpen: Bool { name.hasSuffix(".open") }

    /// What is wrong with it, in lines that begin with its name; none where nothing is.
    public var faults: [String] {
        let untold = damagedPlaces - damage.count
        let more = untold > 0 ? ["and \(untold) more places"] : []
        return ((problem.map { [$0] } ?? []) + damage.map(\.description) + more).map { "\(name): \($0)" }
    }

    init(_ name: String, _ cacheName: CacheFileName, size: UInt64) {
        (self.name, self.cacheName, self.size) = (name, cacheName, size)
        state = name.hasSuffix(".open") ? .open : .sealed
    }

    /// From a footer alone.
    mutating func take(_ footer: CacheFooter) {
        let summary = footer.summary
        (batches, packets, recordBytes) = (summary.batches, summary.packets, summary.recordBytes)
        (times, window, linkType, kind) = (summary.times, summary.window, summary.linkType, summary.kind)
        identities = footer.ranges
        runs = Self.distinctRuns(identities)
    }

    /// From a scan of every byte.
    ///
    /// - Parameter isLive: somebody may be writing the file, so that its end means nothing.
    public mutating func take(_ report: CacheScanReport, isLive: Bool) {
        let contents = report.contents
        (batches, packets, recordBytes) = (contents.batches, contents.packets, contents.recordBytes)
        times = contents.times
        identities = contents.identities.ranges
        runs = Self.distinctRuns(identities)
        if let header = report.header {
            (window, linkType, kind, sensor) = (header.window, header.linkType, header.kind, header.sensor)
        }
        if let version = report.foreignVersion {
            state = .foreign
            problem = "written in version \(version), which this program does not know"
            return
        }
        (damage, damagedPlaces, damagedBytes) = (report.damage, report.damagedPlaces, report.damagedBytes)
        if report.tornBytes > 0, !(isOpen && isLive) {
            note(CacheDamage(at: size - report.tornBytes, byteCount: report.tornBytes, .torn))
        }
        if !isOpen { compare(report) }
        if damagedPlaces > 0 { state = .damaged }
    }

    /// A sealed file has a footer, and the footer is true.
    private mutating func compare(_ report: CacheScanReport) {
        guard let footer = report.footer else {
            let isTold = damage.last.map { $0.offset >= report.end } ?? false
            if !isTold { note(CacheDamage(at: report.end, byteCount: size - report.end, .footer)) }
            return
        }
        // What is damaged is in the footer and not among what was found; that is no second fault.
        guard damagedPlaces == 0 else { return }
        let summary = footer.summary
        let isTrue =
            (summary.batches, summary.packets, summary.recordBytes, summary.times)
            == (batches, packets, recordBytes, times)
            && footer.ranges == report.contents.identities.ranges && footer.index == report.contents.index
        if !isTrue { note(CacheDamage(at: summary.footerOffset, byteCount: size - summary.footerOffset, .contents)) }
    }

    private mutating func note(_ found: CacheDamage) {
        damage.append(found)
        damagedPlaces += 1
        damagedBytes += found.byteCount
    }

    private static func distinctRuns(_ ranges: [BatchRange]) -> [RunIdentity] {
        var runs: [RunIdentity] = []
        for range in ranges where runs.last != range.lane.run { runs.append(range.lane.run) }
        return runs
    }
}
