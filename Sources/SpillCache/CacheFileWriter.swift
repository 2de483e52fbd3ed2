internal import Glibc
public import Machine
public import Pcapng

/// What a new cache file is made for.
public struct CacheFilePlan: Sendable {
    /// What the file is for.
    public var kind: CacheKind
    /// The name it will have.
    public var name: CacheFileName
    /// The sensor's name.
    public var sensor: String
    /// Link type of all its interfaces.
    public var linkType: UInt16
    /// The packet times it is meant for.
    public var window: Range<UInt64>
    /// Space is reserved in steps of this many bytes.
    public var reservation: UInt64
    /// Options of the section headers.
    public var hardware: String?, system: String?, application: String

    /// A plan from its parts.
    public init(
        kind: CacheKind, name: CacheFileName, sensor: String, linkType: UInt16, window: Range<UInt64>,
        reservation: UInt64 = 4 << 20, application: String
    ) {
        self.kind = kind
        self.name = name
        self.sensor = sensor
        self.linkType = linkType
        self.window = window
        self.reservation = reservation
        self.application = application
    }
}

/// Writes one cache file: whole blocks behind each other, never a byte twice (docs/format.md).
///
/// After a failed write the file ends where it ended before, and the same may be tried again later.
public struct CacheFileWriter: ~Copyable, Sendable {
    /// What the file was made for.
    public let plan: CacheFilePlan
    /// What is in it.
    public private(set) var contents: CacheContents
    /// Where the next block goes: the length of the file.
    public private(set) var end: UInt64
    /// The run of the present section; nil before the first one and after a recovery.
    public private(set) var run: RunIdentity?
    private var interfaces = 0, lanes = 0, statistics: UInt64 = 0
    private let file: OpenFile
    private let directory: DirectoryHandle
    private var reserved: UInt64
    private var isTorn = false
    private var hasReservations = true

    /// Makes a new file, `.open` behind its name. Its name is durable once the directory is synced; `sync()` does both.
    public init(_ plan: CacheFilePlan, in directory: DirectoryHandle) throws(SystemError) {
        let file = try OpenFile(plan.name.open, in: directory, flags: O_RDWR | O_CREAT | O_EXCL)
        CrashPoint.cacheCreated.pass()
        self.init(file, plan, in: directory, contents: CacheContents(), end: 0)
        isNameSynced = false
    }

    /// Goes on with a file that was found; the next batch begins a new section.
    init(
        _ file: consuming OpenFile, _ plan: CacheFilePlan, in directory: DirectoryHandle, contents: CacheContents,
        end: UInt64
    ) {
        self.plan = plan
        self.contents = contents
        self.end = end
        self.directory = directory
        reserved = end
        self.file = file
        isNameSynced = true
    }

    private var isNameSynced: Bool

    /// Appends batches of one run, and before them what the section must say first.
    ///
    /// - Parameters:
    ///   - batches: whole batches that were checked, one behind the other.
    ///   - trailers: their trailers, in the same order.
    ///   - description: all that is known of the run; it only grows from call to call.
    public mutating func append(
        _ batches: UnsafeRawBufferPointer, _ trailers: [BatchTrailer], of description: RunDescription
    ) throws(SystemError) {
        try append(preambleFor: description)
        let length = UInt64(batches.count)
        let half = batches.count / 8 * 4
        try write(length) { (file, end) throws(SystemError) in
            if CrashPoint.cacheBatchesHalfWritten.isArmed {
                try unsafe file.write(UnsafeRawBufferPointer(rebasing: batches[..<half]), at: end)
                CrashPoint.cacheBatchesHalfWritten.pass()
            }
            try unsafe file.write(batches, at: end)
        }
        CrashPoint.cacheBatchesWritten.pass()
        var offset = end
        for trailer in trailers {
            contents.add(trailer, at: offset)
            offset += UInt64(trailer.recordBytes) + UInt64(BatchTrailer.byteCount)
        }
        end += length
    }

    /// Writes what the section does not say yet; `append` does it by itself.
    public mutating func append(preambleFor description: RunDescription) throws(SystemError) {
        let isNew = run != description.run
        if !isNew, interfaces == description.interfaces.count, lanes == description.lanes.count,
            statistics == description.statisticsCount
        {
            return
        }
        var bytes: [UInt8] = []
        if isNew {
            bytes += StreamBlocks.sectionHeader(
                hardware: plan.hardware, system: plan.system, application: plan.application)
            bytes +=
                CacheHeader(
                    kind: plan.kind, linkType: plan.linkType, sensor: plan.sensor, run: description.run,
                    number: plan.name.number, created: Clock.realtime(), window: plan.window
                ).block
        }
        for block in description.interfaces.dropFirst(isNew ? 0 : interfaces) { bytes += block }
        for block in description.lanes.dropFirst(isNew ? 0 : lanes) { bytes += block }
        for block in description.statistics(since: isNew ? 0 : statistics) { bytes += block }
        bytes += CheckBlock.closing(bytes)
        try write(UInt64(bytes.count)) { (file, end) throws(SystemError) in try file.write(bytes, at: end) }
        end += UInt64(bytes.count)
        if isNew { contents.sections += 1 }
        (run, interfaces, lanes) = (description.run, description.interfaces.count, description.lanes.count)
        statistics = description.statisticsCount
        CrashPoint.cachePreambleWritten.pass()
    }

    /// Writes behind the end. What a failed write leaves there is cut off, now or, if even that fails, before the next.
    private mutating func write(
        _ count: UInt64, _ body: (borrowing OpenFile, UInt64) throws(SystemError) -> Void
    ) throws(SystemError) {
        if isTorn {
            try file.truncate(to: end)
            isTorn = false
        }
        try reserve(end + count)
        do throws(SystemError) {
            try body(file, end)
        } catch {
            isTorn = true
            if (try? file.truncate(to: end)) != nil { isTorn = false }
            reserved = end
            throw error
        }
    }

    /// Reserves space up to a place and some more; a disk that is nearly full may still have room for what is needed.
    private mutating func reserve(_ needed: UInt64) throws(SystemError) {
        guard needed > reserved, hasReservations else { return }
        let wanted = (needed + plan.reservation - 1) / plan.reservation * plan.reservation
        do throws(SystemError) {
            try file.reserve(from: reserved, count: wanted - reserved)
            reserved = wanted
        } catch {
            guard error.code == ENOSPC || error.code == EDQUOT else {
                // What fallocate cannot do here, writing will say.
                hasReservations = false
                return
            }
            try file.reserve(from: reserved, count: needed - reserved)
            reserved = needed
        }
    }

    /// The file's descriptor, for a sync on another thread.
    public var descriptor: Int32 { file.descriptor }

    /// Whether somebody has removed the file.
    public var isRemoved: Bool { file.isRemoved }

    /// A descriptor of its own to read the file from while it is written; negative (-errno) if it cannot be had.
    public func openForReading() -> Int32 { directory.openForReading(plan.name.open) }

    /// Makes everything appended so far durable.
    public mutating func sync() throws(SystemError) {
        try file.sync()
        if !isNameSynced {
            try directory.sync()
            isNameSynced = true
        }
        CrashPoint.cacheSynced.pass()
    }

    /// Writes the footer, syncs, takes `.open` from the name, syncs the directory.
    ///
    /// - Parameter durably: whether to sync; without it the process may die, but not the machine.
    /// - Throws: EEXIST if there is a sealed file of this name; the file then stays open under its name.
    public mutating func seal(durably: Bool = true) throws(SystemError) {
        let footer = CacheSummary.footer(
            contents, kind: plan.kind, name: plan.name, window: plan.window, linkType: plan.linkType, at: end)
        try write(UInt64(footer.count)) { (file, end) throws(SystemError) in try file.write(footer, at: end) }
        CrashPoint.cacheFooterWritten.pass()
        // Reserved space behind the end is given back by a cut at the end.
        try file.truncate(to: end + UInt64(footer.count))
        if durably { try file.sync() }
        try directory.rename(plan.name.open, toNew: plan.name.sealed, in: directory)
        CrashPoint.cacheRenamed.pass()
        if durably { try directory.sync() }
    }

    /// Gives back the space that was reserved and not used.
    public mutating func release() throws(SystemError) {
        try file.truncate(to: end)
        reserved = end
    }
}
