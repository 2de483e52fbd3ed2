internal import CMachine
internal import Glibc
internal import Machine

/// An open file or directory below the served one. It closes with its last user, which may be a helper's job.
final class OpenFile: @unchecked Sendable {
    // Safe because nothing changes after `init`.

    /// Opened for reading.
    let descriptor: Int32
    /// Its length when it was opened: what grows later is not served.
    let length: UInt64
    /// Nanoseconds since 1970 of the last change of its content.
    let modified: UInt64
    /// Which file it is, whatever its name.
    let identity: FileIdentity
    let isDirectory: Bool
    /// The latest change of its content, its names or its rights.
    private let changed: timespec

    /// Why something is not served.
    enum Fault: Error {
        case notFound
        /// It leads out of the directory, may not be read, or is no file.
        case forbidden
        /// The process has no descriptor, or the kernel no memory, left.
        case exhausted
        case failed
    }

    /// Opens what a decoded path names. The kernel sees to it that it lies below the directory, whatever links say.
    convenience init(_ path: [UInt8], below directory: Int32) throws(Fault) {
        guard !path.contains(0) else { throw .notFound }
        var text = path.isEmpty ? Array(".".utf8) : path
        text.append(0)
        let descriptor = unsafe text.withUnsafeBytes {
            // A FIFO is refused below, and must not be waited for.
            unsafe spillway_open_beneath(
                directory, $0.assumingMemoryBound(to: CChar.self).baseAddress,
                O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 1)
        }
        switch -descriptor {
        case ...0: break
        case ENOENT, ENOTDIR, ENAMETOOLONG, ENXIO: throw .notFound
        case EXDEV, ELOOP, EACCES, EPERM: throw .forbidden
        case EMFILE, ENFILE, ENOMEM: throw .exhausted
        default: throw .failed
        }
        try self.init(descriptor)
    }

    /// Takes over an open descriptor.
    init(_ descriptor: Int32) throws(Fault) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            close(descriptor)
            throw .failed
        }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG || kind == S_IFDIR else {
            close(descriptor)
            throw .forbidden
        }
        self.descriptor = descriptor
        isDirectory = kind == S_IFDIR
        changed = status.st_ctim
        length = UInt64(status.st_size)
        modified = UInt64(max(0, status.st_mtim.tv_sec)) * 1_000_000_000 + UInt64(status.st_mtim.tv_nsec)
        identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    deinit { close(descriptor) }

    /// The length now.
    var lengthNow: UInt64 {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? UInt64(status.st_size) : 0
    }

    /// Whether nothing was done to the file since it was opened: neither written, nor renamed, replaced or removed.
    var isUnchanged: Bool {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 && status.st_nlink > 0
            && status.st_ctim.tv_nsec == changed.tv_nsec && status.st_ctim.tv_sec == changed.tv_sec
            && UInt64(status.st_size) == length
    }

    /// Whether the latest change is so long ago that one made after the opening has another time. Kernels before 6.13 note
    /// times by their ticks, of 10 ms at most.
    var isSettled: Bool {
        let changed = UInt64(max(0, changed.tv_sec)) * 1_000_000_000 + UInt64(changed.tv_nsec)
        return changed < Clock.realtime() &- 40_000_000
    }

    /// Whether the file has a name in any directory.
    var hasName: Bool {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 && status.st_nlink > 0
    }

    /// What it is recognised by.
    var validators: Validators {
        var tag: [UInt8] = [UInt8(ascii: "\"")]
        tag.append(hexadecimal: modified)
        tag.append("-")
        tag.append(hexadecimal: length)
        tag.append("-")
        tag.append(hexadecimal: identity.inode)
        tag.append("\"")
        return Validators(tag: String(decoding: tag, as: UTF8.self), modified: Int(modified / 1_000_000_000))
    }
}

/// Which file something is.
struct FileIdentity: Hashable, Sendable {
    var device: UInt64, inode: UInt64
}
