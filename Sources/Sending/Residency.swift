internal import CSending

/// Whether a part of a file can be read without waiting for the disk.
enum Residency {
    /// Looks at the page cache, in at most a handful of short system calls.
    ///
    /// All pages must be there, and the first and the last must be filled: pages the kernel is still reading into count as
    /// present, and reads of one part are finished in order. Counting comes first because asking for a byte that is not
    /// there makes the kernel fetch it. A kernel that cannot count (before 6.5, or a file of somebody else's) is asked
    /// for a few bytes instead.
    @_noLocks static func isResident(_ file: Int32, from start: UInt64, to end: UInt64) -> Bool {
        let cached = spillway_cached_pages(file, start, end &- start)
        if cached >= 0, UInt64(cached) < (end &+ 4095) / 4096 &- start / 4096 { return false }
        guard holdsByte(file, at: end &- 1), holdsByte(file, at: start) else { return false }
        if cached >= 0 { return true }
        let step = max((end &- start) / 8, 4096)
        var place = start &+ step
        while place < end {
            guard holdsByte(file, at: place) else { return false }
            place = place &+ step
        }
        return true
    }

    /// Whether the byte can be read now; also true where there is none, which the sending finds out.
    @_noLocks private static func holdsByte(_ file: Int32, at offset: UInt64) -> Bool {
        var byte: UInt8 = 0
        return unsafe spillway_read_resident(file, &byte, 1, offset) >= 0
    }
}
