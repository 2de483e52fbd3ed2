public import Machine
public import Pcapng

/// What is in a cache directory. Nothing is locked and nothing is changed, so a survey may be made of a cache in use.
public struct CacheSurvey: Sendable {
    /// How closely files are looked at.
    public enum Depth: Sendable {
        /// Footers of sealed files; files without one are read.
        case footers
        /// Every byte of every file.
        case everything
    }

    /// How far a survey is: bytes of all files.
    public typealias Progress = (_ done: UInt64, _ total: UInt64) -> Void

    /// The directory.
    public let path: String
    /// Who owns it now, in its own words; nil if nobody does.
    public let owner: String?
    /// The files, by name and so by the time they begin.
    public private(set) var files: [SurveyedFile] = []
    /// Other things in the directory.
    public private(set) var others: [String] = []

    /// Looks at all files of a directory.
    ///
    /// - Throws: only what concerns the directory; what is wrong with a file is in its entry.
    public init(
        _ directory: DirectoryHandle, depth: Depth, progress: Progress = { _, _ in }
    ) throws(SystemError) {
        path = directory.path
        owner = try DirectoryOwner.of(directory)
        let entries = try Self.cacheFiles(in: directory)
        others = entries.others
        let total = entries.files.reduce(0) { $0 + $1.size }
        var done: UInt64 = 0
        for entry in entries.files {
            progress(done, total)
            done += entry.size
            if let file = Self.look(at: entry, in: directory, depth, isLive: owner != nil) { files.append(file) }
        }
        progress(total, total)
    }

    private static func cacheFiles(
        in directory: DirectoryHandle
    ) throws(SystemError) -> (files: [SurveyedFile], others: [String]) {
        var files: [SurveyedFile] = []
        var others: [String] = []
        for name in try directory.names() {
            guard let cacheName = CacheFileName(parsing: name) else {
                others.append(name)
                continue
            }
            // A file may go between the listing and here: evicted, or sealed under its other name.
            guard let size = try? directory.size(of: name) else { continue }
            files.append(SurveyedFile(name, cacheName, size: size))
        }
        return (files, others)
    }

    /// What there is to say about a file; nil if it is not there any more.
    private static func look(
        at entry: SurveyedFile, in directory: DirectoryHandle, _ depth: Depth, isLive: Bool
    ) -> SurveyedFile? {
        var file = entry
        if depth == .footers, !file.isOpen, let footer = try? CacheReader.footer(file.name, in: directory) {
            file.take(footer)
            return file
        }
        do throws(SystemError) {
            let report = try CacheScan.run(file.name, in: directory, limit: file.size) { _, _ in }
            file.take(report, isLive: isLive)
        } catch {
            if isLive, !directory.contains(file.name) { return afterSealing(file, in: directory) }
            (file.state, file.problem) = (.unreadable, error.description)
        }
        return file
    }

    /// A file that has lost the name it had: it may have been sealed since.
    private static func afterSealing(_ file: SurveyedFile, in directory: DirectoryHandle) -> SurveyedFile? {
        guard file.isOpen, let footer = try? CacheReader.footer(file.cacheName.sealed, in: directory),
            let size = try? directory.size(of: file.cacheName.sealed)
        else { return nil }
        var sealed = SurveyedFile(file.cacheName.sealed, file.cacheName, size: size)
        sealed.take(footer)
        return sealed
    }
}

extension CacheSurvey {
    /// The name of the sensor whose batches these are, read from the beginning of the latest file that says it.
    public func sensor(in directory: DirectoryHandle) -> String? {
        for file in files.reversed() where file.state != .foreign {
            let limit = min(file.size, UInt64(2 * RunDescription.byteLimit))
            let report = try? CacheScan.run(file.name, in: directory, limit: limit) { _, _ in }
            if let sensor = report?.header?.sensor { return sensor }
        }
        return nil
    }

    /// Files in which something is wrong.
    public var faulty: [SurveyedFile] { files.filter { ![.sealed, .open].contains($0.state) } }
    /// Sums over all files.
    public var batches: UInt64 { files.reduce(0) { $0 + $1.batches } }
    /// Good packets of all files.
    public var packets: UInt64 { files.reduce(0) { $0 + $1.packets } }
    /// Bytes of all files.
    public var bytes: UInt64 { files.reduce(0) { $0 + $1.size } }
    /// Packet times and arrivals of all files.
    public var times: BatchTimes {
        var times = BatchTimes()
        for file in files where file.batches > 0 { times.add(file.times) }
        return times
    }
    /// All runs, in the order in which files name them.
    public var runs: [RunIdentity] {
        var seen: Set<RunIdentity> = []
        return files.flatMap(\.runs).filter { seen.insert($0).inserted }
    }
}
