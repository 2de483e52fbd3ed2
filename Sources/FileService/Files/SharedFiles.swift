internal import Synchronization

/// How many transfers of a file there are at a time. Memory behind the sending is let go of only by a transfer that is
/// alone: pages that one brought in are just what the next one needs.
final class SharedFiles: Sendable {
    /// One file's transfers.
    final class Use: Sendable {
        fileprivate let identity: FileIdentity
        private let transfers = Atomic<Int>(0)

        fileprivate init(_ identity: FileIdentity) { self.identity = identity }

        /// Whether there is no other transfer of this file.
        var isAlone: Bool { transfers.load(ordering: .relaxed) <= 1 }

        fileprivate func add(_ count: Int) -> Int { transfers.add(count, ordering: .relaxed).newValue }
    }

    private let uses = Mutex<[FileIdentity: Use]>([:])

    /// A transfer begins.
    func enter(_ identity: FileIdentity) -> Use {
        uses.withLock { uses in
            let use = uses[identity] ?? Use(identity)
            uses[identity] = use
            _ = use.add(1)
            return use
        }
    }

    /// A transfer ends.
    func leave(_ use: Use) {
        uses.withLock { uses in
            if use.add(-1) == 0 { uses[use.identity] = nil }
        }
    }
}
