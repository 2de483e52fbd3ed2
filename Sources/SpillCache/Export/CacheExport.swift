internal import Glibc
public import Machine
internal import Pcapng

/// What an export made.
public struct CacheExportReport: Sendable, Equatable {
    /// Packets, and bytes of the file.
    public var packets: UInt64 = 0, bytes: UInt64 = 0
    /// Batches, and those left out because they were there already.
    public var batches: UInt64 = 0, repeated: UInt64 = 0
    /// Places in the cache that do not check and are left out, and their bytes.
    public var damagedPlaces = 0, damagedBytes: UInt64 = 0
    /// Files that were gone, or could not be read, when it was their turn.
    public var skipped: [String] = []
    /// Link types of the packets; several are more than libpcap reads in one file.
    public var linkTypes: Set<UInt16> = []
    /// Sorted files that were needed on the way, because packets were far out of order.
    public var runs = 0
}

/// Writes all good packets of a cache into one pcapng file in the order of their times.
///
/// Memory is bounded whatever the cache holds. Nothing is locked and nothing in the cache is changed. The file appears whole
/// under its name; until then it is called `NAME.part`.
public final class CacheExport {
    /// Bytes of records that are sorted in memory.
    public static let memory = 64 << 20

    private let cache: DirectoryHandle
    private let files: [SurveyedFile]
    /// For each file, the least packet time of it and all behind it.
    private let leastFrom: [UInt64]
    private let sorter: RecordSorter
    private var output: CaptureOutput
    private var union = InterfaceUnion()
    private var described = 0
    private var packets: [UInt64] = []
    private var seen = BatchSet()
    private var report = CacheExportReport()
    /// Footers are believed about the times behind the place that is read. One that lies is found out, and then none is.
    private let trusts: Bool
    private var written: UInt64 = 0
    private var times = BatchTimes()

    /// Exports a cache.
    ///
    /// - Parameters:
    ///   - survey: of the cache as it is.
    ///   - path: the file; what has that name is replaced.
    ///   - memory: bytes of records that are sorted in memory.
    ///   - progress: bytes of the cache that were read, and of all.
    /// - Throws: where the file cannot be written; nothing of it is left then.
    public static func run(
        _ survey: CacheSurvey, in cache: DirectoryHandle, to path: String, application: String,
        memory: Int = CacheExport.memory, progress: CacheSurvey.Progress = { _, _ in }
    ) throws(SystemError) -> CacheExportReport {
        let target = try ExportTarget(path, beside: cache)
        do throws(SystemError) {
            for trusts in [true, false] {
                let export = try CacheExport(survey, cache, target, memory, trusts: trusts)
                if let report = try export.run(application, target, progress) { return report }
            }
            preconditionFailure("without trust no promise can be broken")
        } catch {
            target.abandon()
            throw error
        }
    }

    private init(
        _ survey: CacheSurvey, _ cache: DirectoryHandle, _ target: ExportTarget, _ memory: Int, trusts: Bool
    ) throws(SystemError) {
        self.cache = cache
        self.trusts = trusts
        files = survey.files.filter { $0.state != .foreign && $0.batches > 0 }.sorted {
            ($0.times.leastTime, $0.name) < ($1.times.leastTime, $1.name)
        }
        for file in survey.files where !file.isOpen && file.state == .damaged && file.batches == 0 {
            report.damagedPlaces += file.damagedPlaces
            report.damagedBytes += file.damagedBytes
        }
        report.skipped = survey.files.filter { $0.state == .foreign || $0.state == .unreadable }.map(\.name)
        var least: [UInt64] = [.max]
        for file in files.reversed() { least.append(min(least.last!, file.times.leastTime)) }
        leastFrom = least.reversed()
        sorter = RecordSorter(memory: memory, name: target.part, in: target.directory)
        output = CaptureOutput(try target.open())
        CrashPoint.exportCreated.pass()
    }

    /// The whole export; nil if a footer promised that nothing so early would come as came.
    private func run(
        _ application: String, _ target: ExportTarget, _ progress: CacheSurvey.Progress
    ) throws(SystemError) -> CacheExportReport? {
        try output.append(StreamBlocks.sectionHeader(hardware: nil, system: "Linux", application: application))
        let total = files.reduce(0) { $0 + $1.size }
        var done: UInt64 = 0
        for (place, file) in files.enumerated() {
            progress(done, total)
            guard try read(file, place) else { return nil }
            done += file.size
        }
        try sorter.finish(into: &output)
        let blocks = FileStatistics(
            union.statistics, packets: packets, first: times.leastTime, last: times.greatestTime
        ).blocks
        for block in blocks { try output.append(block) }
        try output.finish(complete: .exportComplete, synced: .exportSynced)
        (report.bytes, report.runs) = (output.position, sorter.runsWritten)
        try target.rename()
        progress(total, total)
        return report
    }

    /// Adds the good batches of a file to what is sorted; false if the footer of this one, or of one before, lied.
    private func read(_ file: SurveyedFile, _ place: Int) throws(SystemError) -> Bool {
        let promise = trusts ? FilePromise(file, in: cache) : FilePromise()
        var broken = false
        var failure: SystemError?
        let visit: (borrowing ScannedBatch, RunDescription) throws(SystemError) -> Void = {
            batch, description throws(SystemError) in
            if batch.check.trailer.leastTime < self.written {
                broken = true
                throw SystemError("read", file.name, code: EILSEQ)
            }
            do throws(SystemError) { try self.add(batch, description, place, promise) } catch {
                failure = error
                throw error
            }
        }
        do throws(SystemError) {
            let scan = try scan(file, visit)
            // What is missing at the end of a sealed file is damage, too; one that grows has no end yet.
            var found = file
            found.take(scan, isLive: true)
            report.damagedPlaces += found.damagedPlaces
            report.damagedBytes += found.damagedBytes
            if let section = scan.section { try describe(section) }
        } catch {
            if broken { return false }
            // What concerns the output ends the export; what concerns one file of the cache costs only that file.
            if failure != nil { throw error }
            report.skipped.append("\(error)")
        }
        return true
    }

    /// Reads a file as far as the survey saw it; it may have been sealed since.
    private func scan(
        _ file: SurveyedFile, _ visit: (borrowing ScannedBatch, RunDescription) throws(SystemError) -> Void
    ) throws(SystemError) -> CacheScanReport {
        let name = file.isOpen && !cache.contains(file.name) ? file.cacheName.sealed : file.name
        return try CacheScan.run(name, in: cache, limit: file.size, visit)
    }

    private func add(
        _ batch: borrowing ScannedBatch, _ description: RunDescription, _ place: Int, _ promise: FilePromise
    ) throws(SystemError) {
        let trailer = batch.check.trailer
        guard seen.insert(BatchLane(of: trailer), trailer.number) else {
            report.repeated += 1
            return
        }
        let number = union.map(for: description)
        try describe(description)
        let map = union.maps[Int(number)]
        let changes = InterfaceUnion.isIdentity(map) ? [] : map
        let (offset, base) = unsafe (batch.offset, batch.bytes.baseAddress!)
        let end = Int(trailer.recordBytes)
        var position = 0
        while position < end {
            let record = unsafe base + position
            let interface = try unsafe sorter.add(
                record, map: changes, safe: { self.safeTime(place, promise, offset) }, into: &output)
            packets[Int(interface)] += 1
            position += unsafe RecordView(record).byteCount
        }
        report.batches += 1
        report.packets += UInt64(trailer.packets)
        times.add(trailer)
    }

    /// The time before which nothing will come any more, once it is needed: all earlier may then be written.
    private func safeTime(_ place: Int, _ promise: FilePromise, _ offset: UInt64) -> UInt64 {
        guard trusts else { return 0 }
        written = max(written, min(leastFrom[place + 1], promise.least(from: offset)))
        return written
    }

    /// Writes descriptions of interfaces that were not there yet; they must stand before the first packet.
    private func describe(_ description: RunDescription) throws(SystemError) {
        union.note(description)
        if let type = description.linkType { report.linkTypes.insert(type) }
        while described < union.interfaces.count {
            try output.append(union.interfaces[described])
            packets.append(0)
            described += 1
        }
    }
}
