internal import CMachine
internal import Glibc
public import Machine

/// An open file, closed with the value. Every call says what went wrong by path and reason.
@safe public struct OpenFile: ~Copyable, Sendable {
    // Safe because the descriptor belongs to this value alone.

    /// The descriptor, for calls that are not here.
    public let descriptor: Int32
    /// The path, for messages.
    public let path: String

    /// Opens a file in a directory.
    ///
    /// - Parameter flags: as of open(2); O_CLOEXEC and O_NOFOLLOW are added.
    /// - Throws: also for what is no regular file; a pipe of that name is not waited for.
    public init(_ name: String, in directory: borrowing DirectoryHandle, flags: Int32) throws(SystemError) {
        path = directory.path + "/" + name
        descriptor = directory.open(name, flags)
        if descriptor < 0 { throw SystemError("open", path, code: -descriptor) }
    }

    deinit { close(descriptor) }

    /// The length of the file.
    public var size: UInt64 {
        get throws(SystemError) {
            var status = stat()
            guard unsafe fstat(descriptor, &status) == 0 else { throw SystemError("fstat", path) }
            return UInt64(status.st_size)
        }
    }

    /// Writes all bytes at a place.
    ///
    /// - Throws: the first failure; some bytes may have been written.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let count = unsafe pwrite(
                descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + off_t(done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write", path, code: count == 0 ? EIO : errno) }
            done += count
        }
    }

    /// Writes all bytes at a place.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        let result = unsafe bytes.withUnsafeBytes { buffer -> Result<Void, SystemError> in
            Result { () throws(SystemError) in try unsafe write(buffer, at: offset) }
        }
        try result.get()
    }

    /// Reads up to as many bytes as there is room for; returns how many, fewer only at the end of the file.
    public func read(_ room: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) -> Int {
        var done = 0
        while done < room.count {
            let count = unsafe pread(
                descriptor, room.baseAddress! + done, room.count - done, off_t(offset) + off_t(done))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read", path) }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads up to `count` bytes.
    public func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = unsafe bytes.withUnsafeMutableBytes { room -> Result<Int, SystemError> in
            Result { () throws(SystemError) in try unsafe read(room, at: offset) }
        }
        let done = try result.get()
        bytes.removeLast(count - done)
        return bytes
    }

    /// Makes the content durable (fdatasync(2), which includes the length).
    public func sync() throws(SystemError) {
        guard fdatasync(descriptor) == 0 else { throw SystemError("fdatasync", path) }
    }

    /// Turns writing past the page cache (O_DIRECT) on or off; false where the file system has no such thing.
    public func setDirect(_ isDirect: Bool) -> Bool { spillway_set_direct(descriptor, isDirect ? 1 : 0) == 0 }

    /// Cuts the file, and gives back space reserved behind its end.
    public func truncate(to size: UInt64) throws(SystemError) {
        guard ftruncate(descriptor, off_t(size)) == 0 else { throw SystemError("ftruncate", path) }
    }

    /// Reserves space without changing the length. A file system that cannot is no error.
    public func reserve(from offset: UInt64, count: UInt64) throws(SystemError) {
        let status = spillway_reserve(descriptor, Int(offset), Int(count))
        if status == 0 || status == -EOPNOTSUPP || status == -ENOSYS { return }
        throw SystemError("fallocate", path, code: -status)
    }
}
