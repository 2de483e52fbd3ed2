import Glibc
import Machine

/// An input file that was just opened, or standard input.
struct OpenedInput {
    let name: String
    let descriptor: Int32
    /// nil where the kernel knows no size: pipes, sockets, terminals.
    let totalBytes: UInt64?

    init(path: String) throws(CaptureFileError) {
        name = path == "-" ? "standard input" : path
        descriptor = path == "-" ? STDIN_FILENO : Self.openForReading(path)
        guard descriptor >= 0 else { throw .cannotOpen(SystemError("open", name)) }
        var status = stat()
        let isKnown = unsafe fstat(descriptor, &status) == 0
        let kind = status.st_mode & S_IFMT
        if !isKnown || kind == S_IFDIR {
            // read(2) would say the same about a directory, only later.
            let error = isKnown ? SystemError("open", name, code: EISDIR) : SystemError("fstat", name)
            if descriptor != STDIN_FILENO { close(descriptor) }
            throw .cannotOpen(error)
        }
        totalBytes = kind == S_IFREG ? UInt64(max(status.st_size, 0)) : nil
        if kind == S_IFREG { posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL) }
    }

    /// Does not wait for the writer of a named pipe: that wait could not be ended by a signal, because signals are blocked
    /// in the thread. poll(2) on the descriptor waits for the writer instead.
    private static func openForReading(_ path: String) -> Int32 {
        while true {
            let descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            if descriptor >= 0 {
                // From here on, reads block as usual.
                _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
                return descriptor
            }
            if errno != EINTR { return descriptor }
        }
    }
}
