public import CMachine

/// CRC32C (Castagnoli; RFC 3720 appendix B.4), by the fastest method the processor has.
public enum CRC32C {
    /// The checksum of these bytes, continuing from `seed` (0 to begin).
    @_noLocks @inlinable @inline(__always)
    public static func of(_ bytes: UnsafeRawPointer, count: Int, seed: UInt32 = 0) -> UInt32 {
        unsafe spillway_crc32c(seed, bytes, count)
    }

    /// Which method was chosen, for the start-up line.
    public static var method: String { unsafe String(cString: spillway_crc32c_name()) }
}
