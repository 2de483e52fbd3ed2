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
        descriptor = try Self.openOwn(path + ".part", O_RDWR | O_CREAT)
        var status = stat()
        length = unsafe fstat(descriptor, &status) == 0 ? UInt64(status.st_size) : 0
        tag = Self.read(path + ".part.tag")
        if tag == nil { try cut(to: 0) }
    }

    deinit { close(descriptor) }

    /// Opens a file of ours, and nothing that somebody else may have put there: no link that leads elsewhere, and no file that he can read.
    private static func openOwn(_ path: String, _ flags: Int32) throws(FetchError) -> Int32 {
        let file = unsafe open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw FetchError(.output, "\(SystemError("open", path))") }
        var status = stat()
        guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else {
            close(file)
            throw FetchError(.output, "\(path): there is something of that name that is no file of ours; remove it")
        }
        return file
    }

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
        let file = try Self.openOwn(path + ".part.tag", O_WRONLY | O_CREAT | O_TRUNC)
        defer { close(file) }
        guard unsafe Glibc.write(file, text, text.count) == text.count else {
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
        guard let file = try? openOwn(path, O_RDONLY) else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = unsafe Glibc.read(file, &bytes, bytes.count)
        guard count > 1, bytes[count - 1] == UInt8(ascii: "\n") else { return nil }
        return String(decoding: bytes[..<(count - 1)], as: UTF8.self)
    }
}
