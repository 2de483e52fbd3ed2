internal import Glibc
internal import Machine

/// A file that is being fetched: its bytes in `NAME.part`, and what state of the original they belong to in
/// `NAME.part.tag`. Once whole it takes its name.
final class PartFile {
    private let path: String
    private let descriptor: Int32
    /// Whether it is a device or a pipe, which is written straight: nothing is there from before or can be taken back.
    private let isStream: Bool
    /// Bytes that are there.
    private(set) var length: UInt64
    /// What state of the original they belong to; nil when nothing is known.
    private(set) var tag: String?

    /// Opens what an earlier attempt left, or begins anew.
    init(_ given: String) throws(FetchError) {
        path = OutputPath.replaceable(given) ?? given
        isStream = OutputPath.replaceable(given) == nil
        guard !isStream else {
            descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw FetchError(.output, "\(SystemError("open", path))") }
            (length, tag) = (0, nil)
            return
        }
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        descriptor = unsafe open(path + ".part", flags, 0o644)
        guard descriptor >= 0 else { throw FetchError(.output, "\(SystemError("open", path + ".part"))") }
        var status = stat()
        // Somebody else may have prepared a file of this name to read or to change what comes.
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
            status.st_nlink == 1
        else {
            close(descriptor)
            throw FetchError(.output, "\(path).part: not a file of ours; remove it, or give another -o")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw FetchError(.output, "\(path).part: another fetch writes it")
        }
        length = UInt64(status.st_size)
        tag = Self.read(path + ".part.tag")
        if tag == nil { try cut(to: 0) }
    }

    deinit { close(descriptor) }

    /// Cuts off what is behind a place.
    func cut(to place: UInt64) throws(FetchError) {
        if isStream {
            guard place == length else { throw FetchError(.output, "\(path): what went into it cannot be taken back") }
            return
        }
        guard ftruncate(descriptor, off_t(place)) == 0 else {
            throw FetchError(.output, "\(SystemError("ftruncate", path + ".part"))")
        }
        length = place
    }

    /// Begins anew, for this state of the original.
    func restart(_ tag: String) throws(FetchError) {
        try cut(to: 0)
        self.tag = tag
        guard !isStream else { return }
        let text = Array((tag + "\n").utf8)
        let file = unsafe open(path + ".part.tag", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
        defer { if file >= 0 { close(file) } }
        guard file >= 0, unsafe Glibc.write(file, text, text.count) == text.count else {
            throw FetchError(.output, "\(SystemError("write", path + ".part.tag"))")
        }
    }

    /// Adds bytes at the end.
    func append(_ bytes: some Collection<UInt8>) throws(FetchError) {
        let bytes = Array(bytes)
        var written = 0
        while written < bytes.count {
            let place = written
            let count = unsafe bytes.withUnsafeBytes { buffer in
                let (start, rest) = unsafe (buffer.baseAddress! + place, buffer.count - place)
                return unsafe isStream
                    ? Glibc.write(descriptor, start, rest) : pwrite(descriptor, start, rest, off_t(length))
            }
            guard count > 0 || errno == EINTR else {
                throw FetchError(.output, "\(SystemError("write", isStream ? path : path + ".part"))")
            }
            written += max(count, 0)
            length += UInt64(max(count, 0))
        }
    }

    /// The file is whole: it takes its name.
    func complete() throws(FetchError) {
        guard !isStream else { return }
        guard fsync(descriptor) == 0, unsafe rename(path + ".part", path) == 0 else {
            throw FetchError(.output, "\(SystemError("rename", path))")
        }
        _ = unsafe unlink(path + ".part.tag")
    }

    /// Removes what nothing has come of.
    func discard() {
        guard !isStream else { return }
        _ = unsafe unlink(path + ".part")
        _ = unsafe unlink(path + ".part.tag")
    }

    private static func read(_ path: String) -> String? {
        let file = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = unsafe Glibc.read(file, &bytes, bytes.count)
        guard count > 1, bytes[count - 1] == UInt8(ascii: "\n") else { return nil }
        return String(decoding: bytes[..<(count - 1)], as: UTF8.self)
    }
}
