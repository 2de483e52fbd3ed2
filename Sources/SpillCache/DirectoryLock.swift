internal import Glibc
internal import Machine

/// The one owner of a cache directory: an exclusive flock(2) on a file in it, released when the process ends, however it
/// ends. The file says who it is, for the message to the next one.
public struct DirectoryLock: ~Copyable, Sendable {
    private let file: OpenFile

    /// Takes the lock.
    ///
    /// - Throws: `CacheError.inUse` with what the owner wrote.
    public init(_ name: String = "lock", in directory: DirectoryHandle, owner: String) throws(CacheError) {
        let file: OpenFile
        do throws(SystemError) {
            file = try OpenFile(name, in: directory, flags: O_RDWR | O_CREAT)
        } catch {
            throw .system(error)
        }
        guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            guard errno == EWOULDBLOCK else { throw .system(SystemError("flock", file.path)) }
            let text = (try? file.read(200, at: 0)) ?? []
            let words = String(decoding: text.prefix { $0 >= 0x20 && $0 < 0x7f }, as: UTF8.self)
            throw .inUse(path: directory.path, owner: words.isEmpty ? "another process" : words)
        }
        // Only a note: a full disk must not keep the owner out.
        try? file.truncate(to: 0)
        try? file.write(Array("\(owner), process \(getpid())\n".utf8), at: 0)
        self.file = file
    }
}
