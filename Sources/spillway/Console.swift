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
    func say(_ text: String) {
        status.withLock { status in
            // The status line is taken away and put back below, so that no line is torn.
            write(status.isEmpty ? "\(text)\n" : "\r\u{1b}[K\(text)\n\(status)")
        }
    }

    /// Replaces the status line; an empty text takes it away.
    func show(_ text: String) {
        status.withLock { status in
            guard text != status else { return }
            status = text
            write("\r\u{1b}[K\(text)")
        }
    }

    private func write(_ text: String) {
        FileOutput.writeAll(Array(text.utf8), to: STDERR_FILENO)
    }
}

extension RelayConsole {
    /// Lines and status of a relay on this console.
    init(_ console: Console) {
        let show: @Sendable (String) -> Void = { console.show($0) }
        self.init(log: { console.say($0) }, progress: console.isTerminal ? show : nil)
    }
}
