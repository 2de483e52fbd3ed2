internal import Glibc
public import Machine

/// Finds out who owns a cache directory without taking anything: flock(2) has no question, but /proc/locks has answers.
public enum DirectoryOwner {
    /// What the owner wrote about itself, nil if nobody holds the lock.
    ///
    /// - Parameter name: the lock's file.
    public static func of(_ directory: DirectoryHandle, lock name: String = "lock") throws(SystemError) -> String? {
        var status = stat()
        guard let text = try directory.content(name, limit: 1 << 20) else {
            // Somebody may have removed the file under its owner, who has the directory locked as well.
            guard unsafe fstat(directory.descriptor, &status) == 0,
                isLocked(UInt64(status.st_dev), UInt64(status.st_ino))
            else { return nil }
            return "another process"
        }
        guard unsafe fstatat(directory.descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
            isLocked(UInt64(status.st_dev), UInt64(status.st_ino))
        else { return nil }
        let words = String(decoding: text.prefix(200).prefix { $0 >= 0x20 && $0 < 0x7f }, as: UTF8.self)
        return words.isEmpty ? "another process" : words
    }

    /// Whether there is a lock of flock(2) on a file (proc_locks(5): `1: FLOCK ADVISORY WRITE 708 fe:00:1234 0 EOF`).
    private static func isLocked(_ device: UInt64, _ inode: UInt64) -> Bool {
        let major = device >> 8 & 0xfff | device >> 32 & ~0xfff
        let minor = device & 0xff | device >> 12 & ~0xff
        for line in lines {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK" else { continue }
            let parts = words[5].split(separator: ":")
            guard parts.count == 3, UInt64(parts[2]) == inode else { continue }
            // File systems without a device of their own show another number here than in stat(2).
            if major == 0 || (UInt64(parts[0], radix: 16), UInt64(parts[1], radix: 16)) == (major, minor) {
                return true
            }
        }
        return false
    }

    private static var lines: [Substring] {
        guard let proc = try? DirectoryHandle("/proc", creating: false),
            let file = try? OpenFile("locks", in: proc, flags: O_RDONLY)
        else { return [] }
        var bytes: [UInt8] = []
        while let more = try? file.read(1 << 16, at: UInt64(bytes.count)), !more.isEmpty { bytes += more }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }
}
