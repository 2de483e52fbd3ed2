internal import Synchronization

/// How far the reading of files has come, for the status line.
final class FileProgress: Sendable {
    private let current = Mutex<(name: String, total: UInt64?)>(("", nil))
    private let consumed = Atomic<UInt64>(0)

    /// A file is opened.
    func begin(_ name: String, total: UInt64?) {
        consumed.store(0, ordering: .relaxed)
        current.withLock { $0 = (name, total) }
    }

    /// Bytes of the present file that have been parsed.
    func update(_ bytes: UInt64) {
        consumed.store(bytes, ordering: .relaxed)
    }

    /// Name, size if known, and bytes parsed of the present file.
    var state: (name: String, total: UInt64?, consumed: UInt64) {
        let (name, total) = current.withLock { $0 }
        return (name, total, consumed.load(ordering: .relaxed))
    }
}
