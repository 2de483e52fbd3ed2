internal import Glibc
internal import Machine
internal import Pcapng

/// Makes the files of a cache whole again that nobody is writing: seals what was not sealed, and makes a new file of the
/// good batches where a file is damaged.
///
/// No byte of a file is changed. The new file is written in `repair`, the damaged one gets a second name in
/// `damaged`, then the new one takes its place. After each of these steps the cache is as good as before or better.
public struct CacheRepair: ~Copyable {
    /// What became of a file.
    public enum Outcome: Sendable, Equatable, CustomStringConvertible {
        /// A file that was not sealed is; bytes of a torn tail were cut off.
        case sealed(name: String, batches: UInt64, cut: UInt64)
        /// A new file with the good batches stands in the place of a damaged one.
        case rewritten(name: String, batches: UInt64, lost: UInt64)
        /// There was nothing good in it.
        case setAside(name: String)
        /// It was left as it is.
        case left(name: String, reason: String)

        /// One line.
        public var description: String {
            switch self {
            case .sealed(let name, let batches, let cut):
                "\(name): sealed with \(batches) batches\(cut > 0 ? ", \(cut) bytes of a torn end cut off" : "")"
            case .rewritten(let name, let batches, let lost):
                "\(name): made anew of \(batches) good batches, without \(lost) damaged bytes; the old file is in damaged"
            case .setAside(let name): "\(name): nothing good in it; moved to damaged"
            case .left(let name, let reason): "\(name): left as it is: \(reason)"
            }
        }
    }

    private let directory: DirectoryHandle
    private let application: String
    private let lock: DirectoryLock

    /// Becomes the owner of a cache directory.
    ///
    /// - Throws: `CacheError.inUse` where a relay owns it.
    public init(_ directory: DirectoryHandle, application: String) throws(CacheError) {
        (self.directory, self.application) = (directory, application)
        lock = try DirectoryLock(in: directory, owner: application)
    }

    /// Repairs what needs it.
    ///
    /// - Parameter report: told about each file as it is done.
    /// - Throws: when a file cannot be written; it and those behind it are as they were.
    public func run(_ report: (Outcome) -> Void = { _ in }) throws(CacheError) {
        do throws(SystemError) {
            try clear("repair")
            for name in try directory.names() {
                guard let cacheName = CacheFileName(parsing: name) else { continue }
                if let outcome = try repair(name, cacheName) { report(outcome) }
            }
            try clear("repair")
        } catch {
            // What is half made would only take the room that others need.
            try? clear("repair")
            throw .system(error)
        }
    }

    private func repair(_ name: String, _ cacheName: CacheFileName) throws(SystemError) -> Outcome? {
        var file = SurveyedFile(name, cacheName, size: try directory.size(of: name))
        let report = try CacheScan.run(name, in: directory) { _, _ in }
        file.take(report, isLive: false)
        if file.state == .sealed { return nil }
        if file.state == .foreign { return .left(name: name, reason: file.problem ?? "another version") }
        if file.kind == .journal || isJournal {
            return .left(name: name, reason: "a collector's journal; 'spillway collect' recovers it when it starts")
        }
        if file.isOpen, directory.contains(cacheName.sealed) {
            return .left(name: name, reason: "there is a sealed file of the same name")
        }
        if report.header == nil || report.contents.batches == 0 {
            try directory.setAside(name)
            try directory.remove(name)
            try directory.sync()
            return .setAside(name: name)
        }
        return file.isOpen && report.damagedPlaces == 0 ? try seal(cacheName) : try rewrite(name, cacheName)
    }

    /// A collector's journal has its lock elsewhere.
    private var isJournal: Bool { directory.contains("../lock") && directory.contains("../journal") }

    /// A file that only lacks its end.
    private func seal(_ name: CacheFileName) throws(SystemError) -> Outcome? {
        let recovered = try CacheFileWriter.recovering(name, in: directory, application: application)
        let (batches, cut) = (recovered.report.contents.batches, recovered.report.tornBytes)
        guard var writer = recovered.take() else { return nil }
        try writer.seal()
        return .sealed(name: name.sealed, batches: batches, cut: cut)
    }

    /// Copies the good batches of a file into a new one that takes its place.
    private func rewrite(_ name: String, _ cacheName: CacheFileName) throws(SystemError) -> Outcome {
        let workshop = try DirectoryHandle("\(directory.path)/repair", creating: true)
        let copy = try CacheCopy(of: name, cacheName, in: directory, to: workshop, application: application)
        CrashPoint.repairWritten.pass()
        try directory.setAside(name)
        CrashPoint.repairSetAside.pass()
        // Its batches have other places now. Without the list of what is owed all of them are owed once more, which costs a
        // resend; with the old list some would never be sent.
        try directory.remove(String(cacheName.sealed.dropLast(7)) + ".owed")
        try directory.sync()
        try workshop.rename(cacheName.sealed, to: name, in: directory)
        CrashPoint.repairReplaced.pass()
        if name != cacheName.sealed { try directory.rename(name, toNew: cacheName.sealed, in: directory) }
        CrashPoint.repairRenamed.pass()
        try directory.sync()
        return .rewritten(name: cacheName.sealed, batches: copy.batches, lost: copy.lostBytes)
    }

    /// Removes what a repair that did not end has left.
    private func clear(_ name: String) throws(SystemError) {
        guard directory.contains(name) else { return }
        let workshop = try DirectoryHandle("\(directory.path)/\(name)", creating: false)
        for file in try workshop.names() { try workshop.remove(file) }
        _ = unsafe unlinkat(directory.descriptor, name, AT_REMOVEDIR)
    }
}
