internal import Machine
public import Pcapng

/// The summary at the end of a sealed cache file: what there is, without reading what there is.
public struct CacheSummary: Equatable, Sendable {
    static let byteCount = 160
    private static let magic: UInt32 = 0x5350_5346

    /// What the file is for.
    public var kind: CacheKind
    /// The run that wrote the file, the one of its name.
    public var run: RunIdentity
    /// The number of its name.
    public var number: UInt64
    /// Where the footer begins: the length of all sections.
    public var footerOffset: UInt64
    /// Batches, packets, and bytes of records.
    public var batches: UInt64, packets: UInt64, recordBytes: UInt64
    /// Times of all batches.
    public var times: BatchTimes
    /// The packet times the file is meant for.
    public var window: Range<UInt64>
    /// Entries of the index, ranges of identities, sections.
    public var entries: UInt32, ranges: UInt32, sections: UInt32
    /// Link type of all interfaces.
    public var linkType: UInt16
    /// Checksum of the footer before the summary.
    var listsChecksum: UInt32 = 0
    /// Length of the footer's block.
    var blockLength: UInt32 = 0

    /// From the last 160 bytes of a file.
    init(_ bytes: ArraySlice<UInt8>) throws(FormatFault) {
        var source = ByteSource(bytes)
        guard bytes.count == Self.byteCount, try source.number() == Self.magic else { throw FormatFault("no footer") }
        let checked = bytes.prefix(Self.byteCount - 8)
        let version: UInt16 = try source.number()
        guard version == CacheHeader.version else { throw FormatFault("a footer of version \(version)") }
        guard let kind = CacheKind(rawValue: try source.number()) else { throw FormatFault("an unknown kind of file") }
        self.kind = kind
        run = try source.run()
        (number, footerOffset) = (try source.number(), try source.number())
        (batches, packets, recordBytes) = (try source.number(), try source.number(), try source.number())
        times = try BatchTimes(&source)
        let (start, end): (UInt64, UInt64) = (try source.number(), try source.number())
        guard start <= end else { throw FormatFault("times that end before they begin") }
        window = start..<end
        (entries, ranges, sections) = (try source.number(), try source.number(), try source.number())
        // Whatever adds up the figures of thousands of files must not overflow, however wrong they are.
        guard footerOffset < 1 << 48, recordBytes <= footerOffset, packets <= footerOffset / 32, batches <= packets
        else {
            throw FormatFault("a footer that tells of more than fits before it")
        }
        linkType = try source.number()
        let _ = try source.take(22)
        listsChecksum = try source.number()
        guard try source.number() == checked.checksum else { throw FormatFault("the checksum of the footer") }
        blockLength = try source.number()
        guard
            UInt64(blockLength) == 8 + UInt64(entries) * UInt64(IndexEntry.byteCount) + UInt64(ranges) * 40
                + UInt64(Self.byteCount)
        else { throw FormatFault("the length of the footer") }
    }

    init(
        _ contents: CacheContents, kind: CacheKind, name: CacheFileName, window: Range<UInt64>, linkType: UInt16,
        at offset: UInt64, ranges: Int
    ) {
        self.kind = kind
        (run, number, footerOffset) = (name.run, name.number, offset)
        (batches, packets, recordBytes) = (contents.batches, contents.packets, contents.recordBytes)
        times = contents.times
        self.window = window
        (entries, self.ranges, sections) = (UInt32(contents.index.count), UInt32(ranges), contents.sections)
        self.linkType = linkType
    }

    private var bytes: [UInt8] {
        var out = BlockBuilder()
        out.append(Self.magic)
        out.append(CacheHeader.version)
        out.append(kind.rawValue)
        out.append(run.low)
        out.append(run.high)
        for value in [number, footerOffset, batches, packets, recordBytes] { out.append(value) }
        times.append(to: &out)
        for value in [window.lowerBound, window.upperBound] { out.append(value) }
        for value in [entries, ranges, sections] { out.append(value) }
        out.append(linkType)
        out.append(bytes: [UInt8](repeating: 0, count: 22))
        out.append(listsChecksum)
        out.append(out.bytes.checksum)
        out.append(blockLength)
        return out.bytes
    }

    /// The whole footer of a file with these contents.
    static func footer(
        _ contents: CacheContents, kind: CacheKind, name: CacheFileName, window: Range<UInt64>, linkType: UInt16,
        at offset: UInt64
    ) -> [UInt8] {
        let ranges = contents.identities.ranges
        var summary = CacheSummary(
            contents, kind: kind, name: name, window: window, linkType: linkType, at: offset, ranges: ranges.count)
        let length = 8 + contents.index.count * IndexEntry.byteCount + ranges.count * 40 + byteCount
        summary.blockLength = UInt32(length)
        var out = BlockBuilder()
        out.append(BlockType.cacheFooter)
        out.append(summary.blockLength)
        for entry in contents.index { entry.append(to: &out) }
        for range in ranges { out.append(range) }
        summary.listsChecksum = out.bytes.checksum
        return out.bytes + summary.bytes
    }
}

/// A whole footer: the summary, the index and the identities.
public struct CacheFooter: Equatable, Sendable {
    /// What there is, in short.
    public let summary: CacheSummary
    /// What begins in each step of 64 KiB.
    public let index: [IndexEntry]
    /// Which batches there are, in order.
    public let ranges: [BatchRange]

    /// From all bytes of the footer's block.
    init(_ bytes: [UInt8]) throws(FormatFault) {
        guard bytes.count >= CacheSummary.byteCount + 8 else { throw FormatFault("a footer of \(bytes.count) bytes") }
        let summary = try CacheSummary(bytes.suffix(CacheSummary.byteCount))
        let lists = bytes.dropLast(CacheSummary.byteCount)
        var source = ByteSource(lists)
        guard Int(summary.blockLength) == bytes.count, try source.number() == BlockType.cacheFooter,
            try source.number() == summary.blockLength, lists.checksum == summary.listsChecksum
        else { throw FormatFault("the checksum of the footer's lists") }
        var index: [IndexEntry] = []
        for _ in 0..<summary.entries { index.append(try IndexEntry(&source)) }
        var ranges: [BatchRange] = []
        for _ in 0..<summary.ranges {
            let range = try source.batchRange()
            guard range.first < BatchTrailer.numberLimit, range.count <= BatchTrailer.numberLimit - range.first else {
                throw FormatFault("batch numbers in the footer")
            }
            ranges.append(range)
        }
        self.summary = summary
        self.index = index
        self.ranges = ranges
    }
}
