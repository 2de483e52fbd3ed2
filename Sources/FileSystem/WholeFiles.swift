import Glibc
import Synchronization

/// A file as it is at a moment: a change of any kind makes it another one.
struct FileContent: Hashable {
    let identity: FileIdentity
    let size: UInt64
    let modified: UInt64

    init(_ status: SourceStatus) { (identity, size, modified) = (status.identity, status.size, status.modified) }
}

/// Which files are known to be whole: records from the header to the last byte, none of them torn or damaged.
final class WholeFiles: Sendable {
    private let known = Mutex<[FileContent: Bool]>([:])
    private static let filesMax = 65_536

    /// Nil if it is not known.
    func isWhole(_ content: FileContent) -> Bool? { known.withLock { $0[content] } }

    func note(_ content: FileContent, isWhole: Bool) {
        known.withLock { known in
            if known.count >= Self.filesMax { known.removeAll() }
            known[content] = isWhole
        }
    }
}
