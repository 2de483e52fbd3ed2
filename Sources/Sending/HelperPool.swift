internal import CSending
internal import CMachine
public import Machine
internal import Synchronization

/// Threads that wait for the disk so that event loops need not: they make parts of files resident before these are sent,
/// and let go of them afterwards.
///
/// One thread always waits for work while there is room for another: the one that takes a job starts its successor first,
/// if nobody else is waiting, so that a slow disk never leaves jobs unattended below the limit. Threads that have waited
/// in vain for a while end, down to one. The pool lives as long as the process, or until `stop`.
public final class HelperPool: Sendable {
    /// How many threads there may be, and how long one waits for work.
    public struct Limits: Sendable {
        /// The most threads at a time.
        public var threads = 16
        /// Milliseconds without work after which a thread that is not the last one ends.
        public var idleMilliseconds: Int32 = 5000
        /// Where the threads run; nil for where their creators do.
        public var cpus: CPUSet?
        /// Jobs that can wait, a power of two. Twice the transfers of all clients together is always enough.
        public var queue = 8192

        /// 16 threads, 5 s, 8192 jobs.
        public init() {}
    }

    /// What the pool has done so far.
    public struct Figures: Sendable, Equatable {
        /// Threads now, and the most there have been.
        public var threads = 0, threadsPeak = 0
        /// Parts made resident, and how many bytes that were.
        public var loads: UInt64 = 0, loadedBytes: UInt64 = 0
        /// Bytes of parts let go.
        public var releasedBytes: UInt64 = 0
        /// Loads that failed.
        public var failures: UInt64 = 0
    }

    private let limits: Limits
    private let core: HelperCore
    private let clients = Mutex<[HelperClient]>([])
    private let threads = Atomic<Int>(0), waiting = Atomic<Int>(0), peak = Atomic<Int>(0)
    private let loads = Atomic<UInt64>(0), loadedBytes = Atomic<UInt64>(0)
    private let releasedBytes = Atomic<UInt64>(0), failures = Atomic<UInt64>(0)
    private let isStopping = Atomic<Bool>(false)

    /// Starts the first thread.
    public init(_ limits: Limits = Limits()) throws(SystemError) {
        self.limits = limits
        core = try HelperCore(capacity: limits.queue)
        _ = threads.add(1, ordering: .relaxed)
        _ = waiting.add(1, ordering: .relaxed)
        peak.store(1, ordering: .relaxed)
        try start()
    }

    /// A client for one event loop.
    ///
    /// - Parameters:
    ///   - wake: woken when a result is there.
    ///   - capacity: results that can wait, a power of two: twice the loop's transfers.
    public func makeClient(wake: WakeSignal, capacity: Int) -> HelperClient {
        clients.withLock { clients in
            let client = HelperClient(core: core, number: UInt32(clients.count), wake: wake, capacity: capacity)
            clients.append(client)
            return client
        }
    }

    /// What the pool has done so far.
    public var figures: Figures {
        var figures = Figures()
        figures.threads = threads.load(ordering: .relaxed)
        figures.threadsPeak = peak.load(ordering: .relaxed)
        figures.loads = loads.load(ordering: .relaxed)
        figures.loadedBytes = loadedBytes.load(ordering: .relaxed)
        figures.releasedBytes = releasedBytes.load(ordering: .relaxed)
        figures.failures = failures.load(ordering: .relaxed)
        return figures
    }

    /// Ends the threads, each after the job it has in hand. Jobs that wait are not done any more.
    public func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        for _ in 0..<limits.threads { spillway_event_signal(core.semaphore) }
    }

    // ---- threads -------------------------------------------------------------------------------------------------

    private func start() throws(SystemError) {
        try PinnedThread(name: "helper", cpus: limits.cpus) { self.work() }.detach()
    }

    /// The life of a thread, which counts as waiting when it is born.
    private func work() {
        while true {
            let taken = spillway_semaphore_take(core.semaphore, limits.idleMilliseconds) == 1
            if isStopping.load(ordering: .sequentiallyConsistent) { break }
            if !taken {
                if mayEnd() { return }
                continue
            }
            _ = waiting.subtract(1, ordering: .relaxed)
            while let job = core.queue.pop() {
                startSuccessor()
                finish(job)
            }
            _ = waiting.add(1, ordering: .relaxed)
        }
        _ = waiting.subtract(1, ordering: .relaxed)
        _ = threads.subtract(1, ordering: .relaxed)
    }

    /// Whether this idle thread may end: another one waits as well.
    private func mayEnd() -> Bool {
        var count = waiting.load(ordering: .relaxed)
        while count > 1 {
            let won = waiting.compareExchange(expected: count, desired: count - 1, ordering: .relaxed)
            if won.exchanged {
                _ = threads.subtract(1, ordering: .relaxed)
                return true
            }
            count = won.original
        }
        return false
    }

    private func startSuccessor() {
        guard waiting.load(ordering: .relaxed) == 0 else { return }
        let count = threads.add(1, ordering: .relaxed).newValue
        guard count <= limits.threads else {
            _ = threads.subtract(1, ordering: .relaxed)
            return
        }
        _ = waiting.add(1, ordering: .relaxed)
        _ = peak.max(count, ordering: .relaxed)
        do throws(SystemError) {
            try start()
        } catch {
            // One thread fewer; those that are there go on.
            _ = waiting.subtract(1, ordering: .relaxed)
            _ = threads.subtract(1, ordering: .relaxed)
        }
    }

    private func finish(_ job: HelperJob) {
        var job = job
        switch job.kind {
        case .load, .stream: load(&job)
        case .release:
            _ = spillway_release(job.descriptor, job.offset, job.byteCount)
            _ = releasedBytes.add(job.byteCount, ordering: .relaxed)
        case .stop: return
        }
        clients.withLock { $0[Int(job.client)] }.deliver(job)
    }

    private func load(_ job: inout HelperJob) {
        job.wasAbsent = wasAbsent(job)
        if case .stream = job.kind, core.null >= 0 {
            job.status = -spillway_stream(job.descriptor, job.offset, job.byteCount, core.null)
        } else {
            job.status = -spillway_load(job.descriptor, job.offset, job.byteCount)
        }
        _ = loads.add(1, ordering: .relaxed)
        _ = loadedBytes.add(job.byteCount, ordering: .relaxed)
        if job.status != 0 { _ = failures.add(1, ordering: .relaxed) }
    }

    /// Whether the part is not in memory for anybody else's sake.
    private func wasAbsent(_ job: HelperJob) -> Bool {
        if job.isContinued { return true }
        let pages = (job.offset + job.byteCount + 4095) / 4096 - job.offset / 4096
        let cached = spillway_cached_pages(job.descriptor, job.offset, job.byteCount)
        // Where the kernel cannot say, the pages count as somebody else's, and are left to it.
        return cached >= 0 && UInt64(cached) * 2 < pages
    }
}
