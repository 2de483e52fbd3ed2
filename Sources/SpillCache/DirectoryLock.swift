internal import Glibc
internal import Machine
internal import Synchronization

/// The one owner of a cache directory: an exclusive flock(2) on the directory and on a file in it, released when the process
/// ends, however it ends. The file says who it is, for the message to the next one; somebody may remove it.
public struct DirectoryLock: ~Copyable, Sendable {
    private let file: OpenFile
    private let directory: DirectoryHandle

    /// Takes the lock. The directory knows of it, so that it can be taken anew with the directory.
    ///
    /// - Throws: `CacheError.inUse` with what the owner wrote.
    public init(_ name: String = "lock", in directory: DirectoryHandle, owner: String) throws(CacheError) {
        let file: OpenFile
        do throws(SystemError) {
            file = try Self.take(name, in: directory, owner: owner)
        } catch {
            guard error.code == EWOULDBLOCK else { throw .system(error) }
            let text = (try? directory.content(name, limit: 1 << 10))?.prefix { $0 >= 0x20 && $0 < 0x7f } ?? []
            throw .inUse(
                path: directory.path, owner: text.isEmpty ? "another process" : String(decoding: text, as: UTF8.self))
        }
        let held = HeldLock(name: name, owner: owner, descriptor: file.descriptor)
        directory.held.withLock { $0 = held }
        self.file = file
        self.directory = directory
    }

    deinit {
        directory.held.withLock { $0 = nil }
        _ = flock(directory.descriptor, LOCK_UN)
    }

    /// Takes a lock, which is held until the file is closed.
    ///
    /// - Throws: EWOULDBLOCK if somebody else has it.
    static func take(_ name: String, in directory: DirectoryHandle, owner: String) throws(SystemError) -> OpenFile {
        // Not every file system locks directories; the file is enough then.
        if flock(directory.descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
            throw SystemError("flock", directory.path)
        }
        do throws(SystemError) { return try takeFile(name, in: directory, owner: owner) } catch {
            // Somebody else in this process may have it by the same descriptor.
            if directory.held.withLock({ $0 == nil }) { _ = flock(directory.descriptor, LOCK_UN) }
            throw error
        }
    }

    private static func takeFile(
        _ name: String, in directory: DirectoryHandle, owner: String
    ) throws(SystemError) -> OpenFile {
        let file = try OpenFile(name, in: directory, flags: O_RDWR | O_CREAT)
        guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else { throw SystemError("flock", file.path) }
        // Only a note: a full disk must not keep the owner out.
        try? file.truncate(to: 0)
        try? file.write(Array("\(owner), process \(getpid())\n".utf8), at: 0)
        return file
    }
}
