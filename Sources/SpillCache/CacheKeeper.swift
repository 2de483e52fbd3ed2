internal import Glibc
public import Machine
internal import Synchronization

/// The thread that does to cache files what takes its time and that nobody waits for: it seals them, removes them, writes
/// down what is owed, syncs. In the order in which it was asked to.
public final class CacheKeeper: Sendable {
    /// A piece of work.
    enum Work: Sendable {
        case seal(Sealing)
        case remove(CacheFileName)
        case write(name: String, bytes: [UInt8])
        case removeFile(String)
        case sync([Int32])
        case stop
    }

    /// A file on its way from the thread that wrote it.
    struct Sealing: @unchecked Sendable {
        // Safe because whoever posts it has let go of it.
        let file: OpenSpillFile
    }

    private let directory: DirectoryHandle
    private let isDurable: Bool
    private let work = Mutex<[Work]>([])
    private let signal: WakeSignal
    private let ended = StopFlag()
    private let log: @Sendable (String) -> Void

    /// Starts the thread.
    ///
    /// - Parameter isDurable: whether what it does is synced.
    public init(
        _ directory: DirectoryHandle, isDurable: Bool, log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        (self.directory, self.isDurable, self.log) = (directory, isDurable, log)
        signal = try WakeSignal()
        try PinnedThread(name: "keeper", cpus: nil) { [self] in run() }.detach()
    }

    /// Seals a file that nothing is added to any more.
    public func seal(_ file: OpenSpillFile) { post(.seal(Sealing(file: file))) }

    /// Removes a file, sealed or not, and what is beside it.
    public func remove(_ name: CacheFileName) { post(.remove(name)) }

    /// Writes a small file whole.
    public func write(_ name: String, _ bytes: [UInt8]) { post(.write(name: name, bytes: bytes)) }

    /// Removes a small file.
    public func remove(file name: String) { post(.removeFile(name)) }

    /// Syncs these descriptors, which it closes.
    public func sync(_ descriptors: [Int32]) { post(.sync(descriptors)) }

    /// Does what was asked for until now, then ends.
    public func stop() { post(.stop) }

    /// Whether it has ended.
    public var hasEnded: Bool { ended.isSet }

    private func post(_ one: Work) {
        work.withLock { $0.append(one) }
        signal.wake()
    }

    private func run() {
        while true {
            for one in take() {
                if case .stop = one {
                    ended.set()
                    return
                }
                do throws(SystemError) { try carryOut(one) } catch { log("--spill: \(error)") }
            }
        }
    }

    private func take() -> [Work] {
        signal.announceSleep()
        var taken = work.withLock { work in
            defer { work = [] }
            return work
        }
        if taken.isEmpty {
            var descriptor = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&descriptor, 1, 1000)
            taken = work.withLock { work in
                defer { work = [] }
                return work
            }
        }
        signal.announceAwake()
        return taken
    }

    private func carryOut(_ work: Work) throws(SystemError) {
        switch work {
        case .seal(let sealing):
            // What cannot be sealed is an unsealed file, which the next start reads whole.
            try sealing.file.writer.seal(durably: isDurable)
        case .remove(let name):
            try directory.remove(name.sealed)
            try directory.remove(name.open)
            try directory.remove(OwedFile.name(of: name))
            CrashPoint.cacheRemoved.pass()
        case .write(let name, let bytes): try directory.replace(name, with: bytes, durably: false)
        case .removeFile(let name): try directory.remove(name)
        case .sync(let descriptors):
            for descriptor in descriptors {
                if fdatasync(descriptor) != 0 { log("--spill: \(SystemError("fdatasync", directory.path))") }
                Glibc.close(descriptor)
            }
            try directory.sync()
            CrashPoint.cacheSynced.pass()
        case .stop: break
        }
    }
}
