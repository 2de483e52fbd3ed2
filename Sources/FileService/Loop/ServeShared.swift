internal import Glibc
internal import Machine
internal import Sending
internal import Synchronization

/// What all loops share.
final class ServeShared: Sendable {
    let options: ServicePlan
    /// The served directory.
    let directory: Int32
    let listeners: [Int32]
    let pool: HelperPool
    let counters = ServeCounters()
    let clients: Clients
    let files = SharedFiles()
    let signer: LinkSigner?
    let totalBucket: RateBucket?
    let log: AccessLog?
    /// Set when no more connections are to be taken; then when nothing is waited for any more.
    let stop = StopFlag()
    let kill = StopFlag()
    private let drainEnd = Atomic<UInt64>(.max)
    /// Tools of threads that answer queries, which wait for the disk themselves. As many as there were such threads at a time.
    private let tools = Mutex<[SendingTools]>([])
    /// Threads that answer queries now.
    let queries = Atomic<Int>(0)

    init(
        _ options: ServicePlan, directory: Int32, listeners: [Int32], log: AccessLog?
    ) throws(SystemError) {
        self.options = options
        self.directory = directory
        self.listeners = listeners
        self.log = log
        var limits = HelperPool.Limits()
        limits.threads = options.helpers
        limits.cpus = options.cpus
        pool = try HelperPool(limits)
        clients = Clients(options)
        signer = options.token.map { LinkSigner(token: $0) }
        totalBucket = options.totalRate.map { RateBucket(bytesPerSecond: $0) }
    }

    /// Tools for a thread that waits for the disk itself; nil if there is no memory for them.
    func borrowTools() -> SendingTools? {
        tools.withLock { $0.popLast() } ?? (try? SendingTools(method: options.method, helpers: nil))
    }

    /// Somebody else may use them.
    func giveBack(_ tools: SendingTools) { self.tools.withLock { $0.append(tools) } }

    /// The end has begun; the first loop to see it says when.
    func drainBegan(_ now: UInt64) {
        _ = drainEnd.min(now &+ options.drainTimeout, ordering: .relaxed)
    }

    /// The last loop has ended.
    func end() {
        pool.stop()
        for listener in listeners { close(listener) }
    }

    /// When responses under way are cut off.
    var drainDeadline: UInt64 { kill.isSet ? 0 : drainEnd.load(ordering: .relaxed) }

    /// Waits a moment where descriptors have run out: the connections that hold them need time to end.
    func rest() { Clock.sleep(nanoseconds: 2_000_000) }
}

/// Connections that a thread of their own has answered, on their way back to their loop.
final class ReturnBox: Sendable {
    private let wake: WakeSignal
    private let box = Mutex<[(place: Int, result: LentResult)]>([])
    private let isFull = Atomic<Bool>(false)

    init(_ wake: WakeSignal) { self.wake = wake }

    /// Gives a connection back by its place.
    func put(_ place: Int, _ result: LentResult) {
        box.withLock { $0.append((place, result)) }
        isFull.store(true, ordering: .sequentiallyConsistent)
        wake.wake()
    }

    /// What has come back; one load when that is nothing.
    func take() -> [(place: Int, result: LentResult)] {
        guard isFull.exchange(false, ordering: .sequentiallyConsistent) else { return [] }
        return box.withLock { box in
            defer { box = [] }
            return box
        }
    }
}

/// How a thread left a connection.
struct LentResult: Sendable {
    var status: UInt16
    var bytes: UInt64
    /// Whether the next request may follow.
    var keepsAlive: Bool
}
