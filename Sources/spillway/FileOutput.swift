import Glibc
import Relay

/// A result that goes to a file or to standard output. The file is opened before the work begins: a path that cannot be
/// written is better known at once than after hours. What is in it stays until there is something to write.
struct FileOutput {
    private let path: String
    private let descriptor: Int32

    /// Opens the file; `-` is standard output.
    init(_ path: String) throws(Failure) {
        self.path = path == "-" ? "standard output" : path
        if path == "-" {
            descriptor = STDOUT_FILENO
            return
        }
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        if descriptor < 0 { throw Failure(.cannotCreate, "--report \(path): cannot create: \(Self.reason)") }
    }

    /// Writes the text.
    func write(_ text: String) throws(Failure) {
        // Standard output may be a file that somebody appends to; pipes and devices have no length.
        if descriptor != STDOUT_FILENO { ftruncate(descriptor, 0) }
        guard Self.writeAll(Array(text.utf8), to: descriptor) else {
            throw Failure(.inputOutput, "--report: cannot write to \(path): \(Self.reason)")
        }
    }

    /// Writes all bytes, waiting where it must; false with errno if that is not possible.
    @discardableResult
    static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0 && errno == EAGAIN {
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&entry, 1, -1)
            } else if count < 0 && errno != EINTR {
                return false
            }
        }
        return true
    }

    /// The system's words for errno.
    static var reason: String { unsafe String(cString: strerror(errno)) }
}
