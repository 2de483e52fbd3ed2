internal import Glibc
public import Machine

/// A sealed file that an earlier life has left.
public struct EarlierFile: Sendable {
    /// Its name.
    public let name: CacheFileName
    /// What is in it, in short, and which batches these are.
    public let summary: CacheSummary, ranges: [BatchRange]
    /// What each destination is owed of it; nil where nobody has written that down, so that it is owed to all there were.
    public let owed: OwedFile?

    /// Bytes of the file.
    public var byteCount: UInt64 { summary.footerOffset + UInt64(summary.blockLength) }
}

/// What a start finds in a cache directory: footers are read, and only files that were not sealed are read whole.
public enum EarlierFiles {
    /// All files that can be used, in the order of their names. Files that were not sealed are, once their torn tail is cut.
    ///
    /// - Parameters:
    ///   - isDurable: whether sealing syncs.
    ///   - log: told what could not be used, and why.
    public static func read(
        _ directory: DirectoryHandle, application: String, isDurable: Bool, log: (String) -> Void
    ) throws(SystemError) -> [EarlierFile] {
        var files: [EarlierFile] = []
        var owed: [String] = []
        var bases: Set<String> = []
        for text in try directory.names() {
            if text.hasSuffix(".owed") { owed.append(text) }
            guard let name = CacheFileName(parsing: text), bases.insert(name.sealed).inserted else { continue }
            do throws(SystemError) {
                if let file = try open(name, directory, application, isDurable, log) { files.append(file) }
            } catch {
                // One file that cannot be read must not keep the others from being sent.
                log("--spill: \(error); the file is left alone")
            }
        }
        for text in owed where !bases.contains(text.dropLast(5) + ".pcapng") { try? directory.remove(text) }
        return files
    }

    private static func open(
        _ name: CacheFileName, _ directory: DirectoryHandle, _ application: String, _ isDurable: Bool,
        _ log: (String) -> Void
    ) throws(SystemError) -> EarlierFile? {
        if directory.contains(name.sealed) {
            do throws(CacheError) {
                return try sealed(name, directory)
            } catch {
                guard case .damaged = error else {
                    if case .system(let failure) = error { throw failure }
                    return nil
                }
                // Without a good footer it is like a file that was never sealed.
                log("--spill: \(error); the file is read whole")
                if directory.contains(name.open) { try directory.remove(name.open) }
                try directory.rename(name.sealed, toNew: name.open, in: directory)
            }
        }
        guard try seal(name, directory, application, isDurable, log) else { return nil }
        do throws(CacheError) { return try sealed(name, directory) } catch {
            log("--spill: \(error)")
            return nil
        }
    }

    private static func sealed(_ name: CacheFileName, _ directory: DirectoryHandle) throws(CacheError) -> EarlierFile {
        let footer = try CacheReader.footer(name.sealed, in: directory)
        let path = "\(directory.path)/\(name.sealed)"
        guard footer.summary.kind == .spill, footer.summary.batches <= UInt64(Catalogue.batchesPerFile),
            footer.ranges.allSatisfy({ $0.lane.run == name.run })
        else { throw .version(path: path, version: CacheHeader.version) }
        let bytes = try? directory.content(OwedFile.name(of: name), limit: 16 << 20)
        return EarlierFile(
            name: name, summary: footer.summary, ranges: footer.ranges, owed: bytes.flatMap { try? OwedFile($0) })
    }

    /// Cuts the torn tail and seals; false if there is nothing good in the file, which is then removed, or if it is of
    /// another version.
    private static func seal(
        _ name: CacheFileName, _ directory: DirectoryHandle, _ application: String, _ isDurable: Bool,
        _ log: (String) -> Void
    ) throws(SystemError) -> Bool {
        var recovered = try CacheFileWriter.recovering(name, in: directory, application: application)
        let report = recovered.report
        if let version = report.foreignVersion {
            log("--spill: \(directory.path)/\(name.open): written in version \(version); the file is left alone")
            return false
        }
        if report.tornBytes > 0 || report.damagedPlaces > 0 {
            log(
                "--spill: \(name.open): \(report.tornBytes) bytes of a torn end are cut off, \(report.damagedPlaces)"
                    + " damaged places passed over")
        }
        guard var writer = recovered.writer.take(), report.contents.batches > 0 else {
            try directory.remove(name.open)
            try directory.remove(OwedFile.name(of: name))
            return false
        }
        try writer.seal(durably: isDurable)
        return true
    }
}
