internal import Glibc
public import Machine
internal import Synchronization

/// The thread that does to cache files what takes its time and that nobody waits for: it seals them, removes them, writes
/// down what is owed, syncs. In the order in which it was asked to; what the disk refuses is tried again once a second.
public final class CacheKeeper: Sendable {
    /// A piece of work.
    enum Work: Sendable {
        case seal(Sealing)
        case remove(CacheFileName)
        case setAside(CacheFileName)
        case write(name: String, bytes: [UInt8])
        case writeIfMissing(name: String, bytes: [UInt8])
        case removeFile(String)
        case sync([OpenDescriptor])
        case lock
        case stop
    }

    /// A file on its way from the thread that wrote it.
    struct Sealing: @unchecked Sendable {
        // Safe because whoever posts it has let go of it.
        let file: OpenSpillFile
    }

    /// A descriptor of an open file, by the N of its name.
    public struct OpenDescriptor: Sendable {
        let number: UInt64
        let descriptor: Int32

        /// A descriptor, which is the keeper's to close.
        public init(_ descriptor: Int32, number: UInt64) { (self.number, self.descriptor) = (number, descriptor) }
    }

    private let directory: DirectoryHandle
    private let isDurable: Bool
    private let work = Mutex<[Work]>([])
    private let postedWork = Atomic<UInt64>(0), doneWork = Atomic<UInt64>(0)
    private let unsynced = Mutex<[UInt64]>([])
    private let removals = Atomic<Int>(0)
    private let attempts = Atomic<UInt64>(0)
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
    public func remove(_ name: CacheFileName) {
        removals.add(1, ordering: .relaxed)
        post(.remove(name))
    }

    /// Gives a sealed file in which nothing is good a second name in `damaged`.
    public func setAside(_ name: CacheFileName) { post(.setAside(name)) }

    /// Whether every file that was to be removed is.
    public var hasRemovedAll: Bool { removals.load(ordering: .acquiring) == 0 }

    /// Writes a small file whole.
    public func write(_ name: String, _ bytes: [UInt8]) { post(.write(name: name, bytes: bytes)) }

    /// Writes a small file whole if it is not there.
    public func writeIfMissing(_ name: String, _ bytes: [UInt8]) { post(.writeIfMissing(name: name, bytes: bytes)) }

    /// Removes a small file.
    public func remove(file name: String) { post(.removeFile(name)) }

    /// Syncs these files.
    public func sync(_ files: [OpenDescriptor]) { post(.sync(files)) }

    /// The numbers of files whose sync has failed since the last time: nobody knows what of them is on disk.
    public func takeUnsynced() -> [UInt64] {
        unsynced.withLock { numbers in
            defer { numbers = [] }
            return numbers
        }
    }

    /// Says something of the cache.
    public func say(_ text: String) { log("--spill: \(text)") }

    /// How often it has tried to do a piece of work, again ones included: while this grows the disk answers.
    public var attemptCount: UInt64 { attempts.load(ordering: .relaxed) }

    /// Does what was asked for until now, then ends.
    public func stop() { post(.stop) }

    /// Whether it has ended.
    public var hasEnded: Bool { ended.isSet }

    /// How much work it was asked for.
    public var posted: UInt64 { postedWork.load(ordering: .acquiring) }

    /// Whether it has done so much of it, or tried to.
    public func hasDone(_ count: UInt64) -> Bool { doneWork.load(ordering: .acquiring) >= count }

    private func post(_ one: Work) {
        work.withLock {
            $0.append(one)
            postedWork.add(1, ordering: .releasing)
        }
        signal.wake()
    }

    private func run() {
        var undone = UndoneWork()
        while true {
            for one in take() {
                if case .stop = one {
                    for rest in undone.takeAll() { attempt(rest, &undone) }
                    ended.set()
                    return
                }
                attempt(one, &undone)
                doneWork.add(1, ordering: .releasing)
            }
            for one in undone.takeDue(now: Clock.monotonic()) { attempt(one, &undone) }
            attempt(.lock, &undone)
        }
    }

    private func attempt(_ one: Work, _ undone: inout UndoneWork) {
        defer { attempts.add(1, ordering: .relaxed) }
        do throws(SystemError) {
            try carryOut(one)
            undone.isDone(one)
        } catch {
            if undone.add(one, error) { log("--spill: \(error)") }
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
            // What cannot be sealed is an unsealed file, which the next start reads whole. One that was removed needs none.
            if !sealing.file.writer.isRemoved { try sealing.file.writer.seal(durably: isDurable) }
        case .remove(let name):
            // The note goes first: one without a file says that somebody has taken the file away.
            try directory.remove(OwedFile.name(of: name))
            try directory.remove(name.sealed)
            try directory.remove(name.open)
            removals.subtract(1, ordering: .releasing)
            CrashPoint.cacheRemoved.pass()
        case .setAside(let name): try directory.setAside(name.sealed)
        case .write(let name, let bytes): try directory.replace(name, with: bytes, durably: false)
        case .writeIfMissing(let name, let bytes):
            if !directory.contains(name) { try directory.replace(name, with: bytes, durably: isDurable) }
        case .removeFile(let name): try directory.remove(name)
        case .sync(let files): try carryOutSync(of: files)
        case .lock:
            if try directory.renewLock() { say("somebody has removed the lock of \(directory.path); it is made anew") }
        case .stop: break
        }
    }

    private func carryOutSync(of files: [OpenDescriptor]) throws(SystemError) {
        var problem: SystemError?
        for file in files {
            if fdatasync(file.descriptor) != 0 {
                problem = SystemError("fdatasync", directory.path)
                unsynced.withLock { $0.append(file.number) }
            }
            Glibc.close(file.descriptor)
        }
        if let problem { throw problem }
        try directory.sync()
        CrashPoint.cacheSynced.pass()
    }
}
