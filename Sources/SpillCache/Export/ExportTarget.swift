internal import Glibc
internal import Machine

/// The file an export makes: written as `NAME.part`, given its name when it is whole and durable.
final class ExportTarget {
    let directory: DirectoryHandle
    let name: String
    /// Whether the file is ours to remove.
    private var isOwned = false
    var part: String { name + ".part" }

    /// - Parameter cache: where the packets are from; no file that is there is replaced.
    init(_ given: String, beside cache: DirectoryHandle) throws(SystemError) {
        // It is made by going back in it, which a pipe or a device does not let anybody do.
        guard let path = OutputPath.replaceable(given) else { throw SystemError("open", given, code: EINVAL) }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        guard !name.isEmpty, name != ".", name != ".." else { throw SystemError("open", path, code: EISDIR) }
        directory = try DirectoryHandle(folder, creating: false)
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw SystemError("open", path, code: EISDIR)
        }
        if try directory.isSame(as: cache), directory.contains(name) || CacheFileName(parsing: name) != nil {
            throw SystemError("open", path, code: EEXIST)
        }
    }

    /// The file, empty. Two exports into one file would mix; the second one is refused (EWOULDBLOCK).
    func open() throws(SystemError) -> OpenFile {
        let file = try OpenFile(part, in: directory, flags: O_RDWR | O_CREAT)
        guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else { throw SystemError("flock", file.path) }
        isOwned = true
        try file.truncate(to: 0)
        return file
    }

    func rename() throws(SystemError) {
        try directory.rename(part, to: name)
        CrashPoint.exportRenamed.pass()
        try directory.sync()
    }

    /// Removes what was written.
    func abandon() {
        if isOwned { try? directory.remove(part) }
    }
}
