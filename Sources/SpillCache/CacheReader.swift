internal import Glibc
internal import Machine
internal import Pcapng

/// Reads the footers of sealed files.
public enum CacheReader {
    /// The footer's last 160 bytes, without its lists.
    ///
    /// - Throws: `CacheError.damaged` if there is no footer that checks; a scan may then still find what there is.
    public static func summary(_ name: String, in directory: DirectoryHandle) throws(CacheError) -> CacheSummary {
        try reading(name, in: directory) { file in
            let size = try file.size
            guard size >= UInt64(CacheSummary.byteCount) else { throw FormatFault("no footer") }
            let bytes = try file.read(CacheSummary.byteCount, at: size - UInt64(CacheSummary.byteCount))
            let summary = try CacheSummary(bytes[...])
            guard summary.footerOffset == size - min(size, UInt64(summary.blockLength)) else {
                throw FormatFault("the place of the footer")
            }
            return summary
        }
    }

    /// The whole footer.
    ///
    /// - Throws: `CacheError.damaged` if there is no footer that checks.
    public static func footer(_ name: String, in directory: DirectoryHandle) throws(CacheError) -> CacheFooter {
        let summary = try summary(name, in: directory)
        return try reading(name, in: directory) { file in
            try CacheFooter(try file.read(Int(summary.blockLength), at: summary.footerOffset))
        }
    }

    private static func reading<Result>(
        _ name: String, in directory: DirectoryHandle, _ body: (borrowing OpenFile) throws -> Result
    ) throws(CacheError) -> Result {
        do {
            let file = try OpenFile(name, in: directory, flags: O_RDONLY)
            return try body(file)
        } catch let error as SystemError {
            throw .system(error)
        } catch let fault as FormatFault {
            throw .damaged(path: "\(directory.path)/\(name)", reason: fault.reason)
        } catch {
            throw .damaged(path: "\(directory.path)/\(name)", reason: "\(error)")
        }
    }
}
