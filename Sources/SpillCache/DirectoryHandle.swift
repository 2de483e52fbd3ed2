internal import CMachine
internal import Glibc
public import Machine
internal import Synchronization

/// An open directory. Names are resolved in it, whatever becomes of the path.
public final class DirectoryHandle: Sendable {
    /// The descriptor.
    public let descriptor: Int32
    /// The path, for messages.
    public let path: String
    /// The lock that is held in it.
    let held = Mutex<HeldLock?>(nil)

    /// Opens a directory; makes it first if asked to and it is not there, its parents not.
    public init(_ path: String, creating: Bool) throws(SystemError) {
        self.path = path
        if creating, unsafe mkdir(path, 0o755) != 0, errno != EEXIST { throw SystemError("mkdir", path) }
        descriptor = unsafe spillway_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        if descriptor < 0 { throw SystemError("open", path, code: -descriptor) }
    }

    deinit { close(descriptor) }

    /// The names in it, sorted, without `.` and `..`.
    public func names() throws(SystemError) -> [String] {
        // A descriptor of its own, because fdopendir(3) takes it over and moves its place.
        let copy = unsafe spillway_open_at(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemError("open", path, code: -copy) }
        guard let stream = unsafe fdopendir(copy) else {
            close(copy)
            throw SystemError("opendir", path)
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Opens a file to read and to send from; the descriptor is the caller's. Negative (-errno) if it cannot be had.
    public func openForReading(_ name: String) -> Int32 { open(name, O_RDONLY) }

    /// Opens a regular file, without following a link or waiting for the other end of a pipe. Negative (-errno) if that
    /// cannot be done; what is no regular file counts as "no such device or address" (ENXIO).
    func open(_ name: String, _ flags: Int32) -> Int32 {
        let file = unsafe spillway_open_at(descriptor, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        guard file >= 0 else { return file }
        var status = stat()
        if unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG { return file }
        close(file)
        return -ENXIO
    }

    /// Whether both are the same directory, by whichever paths.
    func isSame(as other: borrowing DirectoryHandle) throws(SystemError) -> Bool {
        var (one, two) = (stat(), stat())
        guard unsafe fstat(descriptor, &one) == 0, unsafe fstat(other.descriptor, &two) == 0 else {
            throw SystemError("fstat", path)
        }
        return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)
    }

    /// Whether there is something of this name.
    public func contains(_ name: String) -> Bool {
        var status = stat()
        return unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0
    }

    /// The length of a file.
    public func size(of name: String) throws(SystemError) -> UInt64 {
        var status = stat()
        guard unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw SystemError("stat", "\(path)/\(name)")
        }
        return UInt64(status.st_size)
    }

    /// Gives a file a second name in another directory of the same file system; EEXIST if something has that name.
    public func link(_ name: String, to other: String, in directory: DirectoryHandle) throws(SystemError) {
        guard unsafe linkat(descriptor, name, directory.descriptor, other, 0) == 0 else {
            throw SystemError("link", "\(directory.path)/\(other)")
        }
    }

    /// Gives a file another name in another directory, replacing what has it.
    public func rename(_ name: String, to other: String, in directory: DirectoryHandle) throws(SystemError) {
        guard unsafe renameat(descriptor, name, directory.descriptor, other) == 0 else {
            throw SystemError("rename", "\(directory.path)/\(other)")
        }
    }

    /// Removes a file; one that is not there is fine.
    public func remove(_ name: String) throws(SystemError) {
        guard unsafe unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
            throw SystemError("unlink", "\(path)/\(name)")
        }
    }

    /// Gives a file another name, replacing what has it.
    public func rename(_ name: String, to other: String) throws(SystemError) {
        guard unsafe renameat(descriptor, name, descriptor, other) == 0 else {
            throw SystemError("rename", "\(path)/\(other)")
        }
    }

    /// Gives a file another name, also in another directory; EEXIST if something has that name.
    public func rename(_ name: String, toNew other: String, in directory: DirectoryHandle) throws(SystemError) {
        let status = unsafe spillway_rename_new(descriptor, name, directory.descriptor, other)
        if status != 0 { throw SystemError("rename", "\(directory.path)/\(other)", code: -status) }
    }

    /// Makes names durable: what was created, renamed and removed (fsync(2)).
    public func sync() throws(SystemError) {
        guard fsync(descriptor) == 0 else { throw SystemError("fsync", path) }
    }

    /// Bytes that may still be written into its file system by this process.
    public func freeSpace() throws(SystemError) -> UInt64 {
        var status = statvfs()
        guard unsafe fstatvfs(descriptor, &status) == 0 else { throw SystemError("statvfs", path) }
        return UInt64(geteuid() == 0 ? status.f_bfree : status.f_bavail) * UInt64(status.f_frsize)
    }

    /// Writes a small file whole: to another name, synced, then renamed, then the directory is synced.
    ///
    /// - Parameter durably: whether to sync; without it a loss of power may leave the old content, or none that checks.
    public func replace(
        _ name: String, with bytes: [UInt8], durably: Bool = true, temporary: CrashPoint = .stateTemporary,
        renamed: CrashPoint = .stateRenamed
    ) throws(SystemError) {
        let other = name + ".new"
        do throws(SystemError) {
            let file = try OpenFile(other, in: self, flags: O_WRONLY | O_CREAT | O_TRUNC)
            try file.write(bytes, at: 0)
            if durably { try file.sync() }
        } catch {
            try? remove(other)
            throw error
        }
        temporary.pass()
        try rename(other, to: name)
        renamed.pass()
        if durably { try sync() }
    }

    /// The content of a file, nil if it is not there.
    ///
    /// - Parameter limit: longer files are an error (EFBIG).
    public func content(_ name: String, limit: Int) throws(SystemError) -> [UInt8]? {
        let file: OpenFile
        do throws(SystemError) {
            file = try OpenFile(name, in: self, flags: O_RDONLY)
        } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
        let size = try file.size
        guard size <= UInt64(limit) else { throw SystemError("read", "\(path)/\(name)", code: EFBIG) }
        return try file.read(Int(size), at: 0)
    }

    /// Gives a file that is damaged a second name in `damaged`, a new one each time.
    func setAside(_ name: String) throws(SystemError) {
        let place = try DirectoryHandle("\(path)/damaged", creating: true)
        var number = 1
        while true {
            do throws(SystemError) {
                return try link(name, to: number == 1 ? name : "\(name).\(number)", in: place)
            } catch {
                guard error.code == EEXIST, number < 1000 else { throw error }
                number += 1
            }
        }
    }
}
