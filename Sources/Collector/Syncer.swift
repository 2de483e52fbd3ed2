internal import Glibc
internal import Machine
internal import SpillCache

/// The thread that syncs the journal where acknowledgements wait for it. One round at a time: what is written meanwhile
/// waits for the next.
final class Syncer: Sendable {
    /// A round: copies of the descriptors of files to sync, which the thread closes.
    private let rounds: Mailbox<[Int32]>
    /// The outcome of each round: nil if all is durable.
    let outcomes: Mailbox<SystemError?>
    private let directory: DirectoryHandle

    init(_ directory: DirectoryHandle) throws(SystemError) {
        rounds = try Mailbox()
        outcomes = try Mailbox()
        self.directory = directory
    }

    func start() throws(SystemError) {
        try PinnedThread(name: "sync", cpus: nil) { [self] in
            while true {
                rounds.wait(milliseconds: -1)
                for files in rounds.take() { outcomes.post(sync(files)) }
            }
        }.detach()
    }

    func post(_ files: [Int32]) { rounds.post(files) }

    private func sync(_ files: [Int32]) -> SystemError? {
        var problem: SystemError?
        for file in files {
            if fdatasync(file) != 0 { problem = SystemError("fdatasync", directory.path) }
            close(file)
        }
        if problem == nil {
            do throws(SystemError) { try directory.sync() } catch { problem = error }
        }
        CrashPoint.cacheSynced.pass()
        return problem
    }
}

/// Another descriptor of the same open file, closed on exec; negative if there is none free.
func duplicate(_ descriptor: Int32) -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }
