internal import CMachine
internal import Glibc
public import Machine
public import SpillCache

/// The packets of a cache as one capture file in the order of their times. The file has no name: it is gone with this value,
/// or with the process.
public final class SortedCache {
    /// Where it can be read, again and again.
    public var path: String { "/proc/self/fd/\(descriptor)" }
    /// What was found on the way.
    public let report: CacheExportReport
    private let descriptor: Int32

    /// Sorts a cache. Nothing in it is locked or changed.
    ///
    /// - Parameter folder: where there is room for all of it.
    public init(_ cache: String, in folder: String, application: String) throws(SystemError) {
        let directory = try DirectoryHandle(cache, creating: false)
        let survey = try CacheSurvey(directory, depth: .footers)
        var pattern = Array("\(folder)/spillway.XXXXXX".utf8CString)
        guard unsafe mkdtemp(&pattern) != nil else { throw SystemError("mkdir", folder) }
        let place = String(decoding: pattern.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { _ = unsafe rmdir(place) }
        report = try CacheExport.run(survey, in: directory, to: "\(place)/sorted", application: application)
        descriptor = unsafe spillway_open_at(AT_FDCWD, "\(place)/sorted", O_RDONLY | O_CLOEXEC, 0)
        let removed = unsafe unlink("\(place)/sorted")
        guard descriptor >= 0, removed == 0 else { throw SystemError("open", "\(place)/sorted", code: -descriptor) }
    }

    deinit { close(descriptor) }

    /// What is wrong with the cache, nil if nothing is.
    public func problem(of cache: String) -> String? {
        guard report.damagedPlaces > 0 || !report.skipped.isEmpty else { return nil }
        let skipped = report.skipped.map { "; \($0)" }.joined()
        return "\(cache): left out \(report.damagedPlaces) damaged places, \(report.damagedBytes) bytes\(skipped)"
    }
}
