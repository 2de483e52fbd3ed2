internal import CFuse
internal import CMachine
import Glibc
import Machine

/// What a path of the source leads to.
struct SourceStatus {
    var status: stat

    var isDirectory: Bool { status.st_mode & S_IFMT == S_IFDIR }
    var isRegular: Bool { status.st_mode & S_IFMT == S_IFREG }
    /// Time of the last change of the content, in nanoseconds since 1970.
    var modified: UInt64 { Self.nanoseconds(status.st_mtim) }
    /// Bytes.
    var size: UInt64 { UInt64(max(0, status.st_size)) }
    /// Which file it is, whatever its name.
    var identity: FileIdentity { FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) }

    static func nanoseconds(_ time: timespec) -> UInt64 {
        UInt64(max(0, time.tv_sec)) &* 1_000_000_000 &+ UInt64(max(0, time.tv_nsec))
    }
}

/// A file, whatever its name.
struct FileIdentity: Hashable {
    let device: UInt64
    let inode: UInt64
}

/// A call that failed with this number (errno(3)).
struct Errno: Error, Equatable {
    let code: Int32
    init(_ code: Int32) { self.code = code }
}

/// The directory that is mounted. No path and no symbolic link leads out of it.
final class SourceTree: Sendable {
    /// Its path, absolute.
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws(SystemError) {
        self.path = path
        descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 { throw SystemError("open", path) }
    }

    deinit { close(descriptor) }

    /// Opens what a path, relative to the source, leads to. The caller closes it.
    func open(_ path: String, _ flags: Int32) throws(Errno) -> Int32 {
        let result = unsafe spillway_open_beneath(descriptor, path.isEmpty ? "." : path, flags | O_CLOEXEC, 0, 1)
        // A way out of the source is no way.
        if result < 0 { throw Errno(-result == EXDEV || -result == ELOOP ? ENOENT : -result) }
        return result
    }

    /// Opens a file for reading; only regular files, and without waiting for anything.
    func openFile(_ path: String) throws(Errno) -> (descriptor: Int32, status: SourceStatus) {
        let file = try open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
        guard let status = Self.status(ofOpen: file), status.isRegular else {
            close(file)
            throw Errno(EINVAL)
        }
        return (file, status)
    }

    /// What a path leads to.
    func status(_ path: String) throws(Errno) -> SourceStatus {
        let file = try open(path, spillway_path_only())
        defer { close(file) }
        guard let status = Self.status(ofOpen: file) else { throw Errno(EIO) }
        return status
    }

    static func status(ofOpen file: Int32) -> SourceStatus? {
        var status = stat()
        guard unsafe fstat(file, &status) == 0 else { return nil }
        return SourceStatus(status: status)
    }

    /// All names in a directory but `.` and `..`, in no order, and whether each is known to be a directory or a file.
    func entries(_ path: String) throws(Errno) -> [(name: String, type: UInt8)] {
        let file = try open(path, O_RDONLY | O_DIRECTORY)
        guard let stream = unsafe fdopendir(file) else {
            close(file)
            throw Errno(ENOTDIR)
        }
        defer { unsafe closedir(stream) }
        var result: [(name: String, type: UInt8)] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { unsafe result.append((name, entry.pointee.d_type)) }
        }
        return result
    }

    /// Whether the file system of a path tells of changes by inotify(7); those of other machines do not.
    func tellsOfChanges(_ path: String) -> Bool {
        guard let file = try? open(path, spillway_path_only()) else { return false }
        defer { close(file) }
        var status = statfs()
        guard unsafe fstatfs(file, &status) == 0 else { return false }
        let remote: Set<Int> = [
            0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x6573_5546, 0x0102_1997, 0x00C3_6400, 0x5346_414F, 0x7375_7245,
        ]
        return !remote.contains(Int(status.f_type))
    }
}

/// The path of a name in a directory of the source; the source itself is the empty path.
func joined(_ directory: String, _ name: String) -> String {
    directory.isEmpty ? name : "\(directory)/\(name)"
}
