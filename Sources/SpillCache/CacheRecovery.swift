internal import Glibc
public import Machine

extension CacheFileWriter {
    /// Opens a file that was not sealed to go on with it: scans it, cuts the torn tail, and will begin a new section.
    ///
    /// - Parameters:
    ///   - kind: what the file must be; another one is not touched, and there is no writer for it.
    ///   - visit: gets each good batch.
    /// - Returns: the writer, nil if there is no good section in the file; and what the scan found.
    public static func recovering(
        _ name: CacheFileName, in directory: DirectoryHandle, application: String, kind: CacheKind? = nil,
        _ visit: (borrowing ScannedBatch, RunDescription) throws(SystemError) -> Void = { _, _ in }
    ) throws(SystemError) -> Recovered {
        let report = try CacheScan.run(name.open, in: directory, visit)
        guard let header = report.header, report.foreignVersion == nil, kind == nil || kind == header.kind else {
            return Recovered(nil, report)
        }
        let plan = CacheFilePlan(
            kind: header.kind, name: name, sensor: header.sensor, linkType: header.linkType, window: header.window,
            application: application)
        let file = try OpenFile(name.open, in: directory, flags: O_RDWR)
        // Damage behind the last good block goes with the tail; a footer may stand there whose renaming did not happen.
        if try file.size != report.end { try file.truncate(to: report.end) }
        CrashPoint.cacheTailCut.pass()
        return Recovered(
            CacheFileWriter(file, plan, in: directory, contents: report.contents, end: report.end), report)
    }

    /// What became of a file that was not sealed.
    public struct Recovered: ~Copyable {
        /// Goes on with the file; nil if it has no good section.
        public var writer: CacheFileWriter?
        /// What was found.
        public let report: CacheScanReport

        init(_ writer: consuming CacheFileWriter?, _ report: CacheScanReport) {
            self.report = report
            self.writer = writer
        }

        /// The writer, taken out.
        public consuming func take() -> CacheFileWriter? { writer }
    }
}
