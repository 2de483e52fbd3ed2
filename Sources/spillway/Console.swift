import Glibc
import Relay
import Synchronization

/// Standard error, shared by lines that stay and one status line that is overwritten.
final class Console: Sendable {
    /// The process's standard error.
    static let standard = Console()

    /// Whether standard error is a terminal, where a status line makes sense.
    let isTerminal = isatty(STDERR_FILENO) == 1
    private let status = Mutex("")

    /// Writes a line, or several, that stay.
    ///
    /// - Parameter waits: whether to wait while standard error takes nothing; otherwise the text is lost then.
    func say(_ text: String, waits: Bool = true) {
        status.withLock { status in
            // The status line is taken away and put back below, so that no line is torn.
            write(status.isEmpty ? "\(text)\n" : "\r\u{1b}[K\(text)\n\(status)", waits: waits)
        }
    }

    /// Replaces the status line; an empty text takes it away.
    func show(_ text: String) {
        status.withLock { status in
            guard text != status else { return }
            status = text
            write("\r\u{1b}[K\(text)", waits: false)
        }
    }

    private func write(_ text: String, waits: Bool) {
        var entry = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        // A pipe that is writable takes PIPE_BUF bytes, which is more than one message of a run.
        guard unsafe waits || poll(&entry, 1, 0) > 0 else { return }
        FileOutput.writeAll(Array(text.utf8), to: STDERR_FILENO)
    }
}

extension RelayConsole {
    /// Lines and status of a relay on this console.
    init(_ console: Console) {
        let show: @Sendable (String) -> Void = { console.show($0) }
        // The threads of a run must not be held up by a terminal or a log reader that hangs.
        self.init(log: { console.say($0, waits: false) }, progress: console.isTerminal ? show : nil)
    }
}
