internal import CMachine
internal import Glibc
public import Machine
internal import Synchronization

/// A lock in a directory, as far as it must be known to take it once more.
struct HeldLock: Sendable {
    let name: String, owner: String
    let descriptor: Int32
}

/// What becomes of a directory that somebody removes while it is in use.
extension DirectoryHandle {
    /// Whether it has been removed: nothing can be made in it any more.
    public var isRemoved: Bool { hasNoName(descriptor) }

    /// Makes a directory that was removed anew at its path, and takes the lock in it that was held in the old one. Everybody who
    /// has this value goes on in the new one.
    ///
    /// - Returns: false if the directory is still there, whatever its path is by now.
    /// - Throws: EWOULDBLOCK if somebody else owns what is at the path now.
    public func renew() throws(SystemError) -> Bool {
        guard isRemoved else { return false }
        let other = try DirectoryHandle(path, creating: true)
        if let lock = held.withLock({ $0 }) {
            let file = try DirectoryLock.take(lock.name, in: other, owner: lock.owner)
            try Self.replace(lock.descriptor, by: file.descriptor, path)
        }
        try Self.replace(descriptor, by: other.descriptor, path)
        return true
    }

    /// Makes the file of the lock anew if somebody has removed it. The directory itself is locked all the while.
    ///
    /// - Returns: whether it had to be.
    func renewLock() throws(SystemError) -> Bool {
        guard !isRemoved, let lock = held.withLock({ $0 }) else { return false }
        var (mine, there) = (stat(), stat())
        guard unsafe fstat(lock.descriptor, &mine) == 0 else { return false }
        if unsafe fstatat(descriptor, lock.name, &there, AT_SYMLINK_NOFOLLOW) == 0, there.st_ino == mine.st_ino {
            return false
        }
        let file = try DirectoryLock.take(lock.name, in: self, owner: lock.owner)
        try Self.replace(lock.descriptor, by: file.descriptor, path)
        return true
    }

    /// Whether a cache file is certainly not there, sealed or not.
    public func hasLost(_ file: CacheFileName) -> Bool {
        // It may be sealed, and so get its other name, at any moment.
        [file.sealed, file.open, file.sealed].allSatisfy { name in
            var status = stat()
            return unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT
        }
    }

    private static func replace(_ old: Int32, by new: Int32, _ path: String) throws(SystemError) {
        let status = spillway_replace_descriptor(old, new)
        if status != 0 { throw SystemError("dup3", path, code: -status) }
    }
}

extension OpenFile {
    /// Whether its last name has been removed: it will be gone when it is closed.
    public var isRemoved: Bool { hasNoName(descriptor) }
}

private func hasNoName(_ descriptor: Int32) -> Bool {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 && status.st_nlink == 0
}
