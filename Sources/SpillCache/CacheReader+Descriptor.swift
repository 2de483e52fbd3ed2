internal import Glibc

/// Footers of files that are open already, for those who do not own the directory and opened them in a way of their own.
extension CacheReader {
    /// A footer is read into memory as a whole: a longer one belongs to no file that was ever written.
    private static let footerBytesMost = 256 << 20

    /// The footer's last 160 bytes, without its lists; nil if there is no footer that checks.
    ///
    /// - Parameter size: the length of the file.
    public static func summary(ofOpen descriptor: Int32, size: UInt64) -> CacheSummary? {
        guard size >= UInt64(CacheSummary.byteCount),
            let bytes = read(CacheSummary.byteCount, of: descriptor, at: size - UInt64(CacheSummary.byteCount)),
            let summary = try? CacheSummary(bytes[...]),
            UInt64(summary.blockLength) <= size, summary.footerOffset == size - UInt64(summary.blockLength)
        else { return nil }
        return summary
    }

    /// The whole footer; nil if there is none that checks.
    ///
    /// - Parameter size: the length of the file.
    public static func footer(ofOpen descriptor: Int32, size: UInt64) -> CacheFooter? {
        guard let summary = summary(ofOpen: descriptor, size: size), summary.blockLength <= footerBytesMost,
            let bytes = read(Int(summary.blockLength), of: descriptor, at: summary.footerOffset)
        else { return nil }
        return try? CacheFooter(bytes)
    }

    /// All of these bytes, or nil.
    static func read(_ count: Int, of descriptor: Int32, at offset: UInt64) -> [UInt8]? {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            while filled < count {
                let got = unsafe pread(
                    descriptor, room.baseAddress! + filled, count - filled, off_t(offset) + off_t(filled))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { return }
                filled += got
            }
        }
        return bytes.count == count ? bytes : nil
    }
}
