public import Capture
public import Machine
public import Pcapng
public import SegmentPool
internal import Synchronization

/// What the worker threads tell the egress thread beside batches: how many of them still run.
@safe public struct InputState: @unchecked Sendable {
    // Safe because the word lives as long as the process and is only touched atomically.
    private let running: UnsafePointer<Atomic<Int>>

    /// The state of this many workers, all running.
    public init(workers: Int) {
        let word = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(workers))
        unsafe running = UnsafePointer(word)
    }

    /// A worker has sealed its last segment.
    @_noLocks public func workerEnded() {
        unsafe running.pointee.subtract(1, ordering: .releasing)
    }

    /// Whether no worker runs any more.
    public var hasEnded: Bool {
        @_noLocks get { unsafe running.pointee.load(ordering: .acquiring) == 0 }
    }
}

/// Everything the egress thread is made of.
public struct EgressSetup: Sendable {
    /// The memory.
    public var pool: SegmentPool
    /// Worker threads that fill it.
    public var workers: Int
    /// Batches each of them has open at once. Each open batch has a writer with segments of its own.
    public var writersPerWorker = 1
    /// The destinations.
    public var plans: [DestinationPlan]
    /// One set of counters per plan.
    public var counters: [Counters]
    /// The limits they work under.
    public var limits: EgressLimits
    /// The run.
    public var run: RunIdentity
    /// What the relay says of itself to collectors.
    public var session: SessionIdentity
    /// Set where the destinations that we connect to share the batches: one share for each of them, in the order of the plans.
    public var shares = ShareBoard(shares: 0)
    /// Changes of destinations that are asked for meanwhile. There are as many counters as there can be plans.
    public var changes = EgressChanges()
    /// How much goes towards TCP; nil for everything. Half of each worker's writers are for diverted batches then.
    public var admission: AdmissionSetup?
    /// Where the ages of what was delivered are said; nil where nobody asks.
    public var ages: AgeBoard?
    /// From where readers may connect; none for everywhere.
    public var allowed: [Subnet] = []
    /// Interfaces met so far.
    public var interfaces: InterfaceView
    /// The section header every stream begins with.
    public var sectionHeader: [UInt8]
    /// Wakes the egress thread.
    public var wake: WakeSignal
    /// Whether workers still run.
    public var input: InputState
    /// Set when somebody asks the run to end.
    public var asked: StopFlag
    /// Set by the relay when a second signal asks to end at once.
    public var abort: StopFlag
    /// Set by the egress thread when reading on would be in vain, or when the first reader has come.
    public var stopReading: StopFlag
    /// Set when the first reader has come.
    public var ready: StopFlag
    /// Where our own connections are entered.
    public var ownTraffic: OwnTraffic
    /// Input are files: the reader waits, nothing is dropped while a destination makes progress.
    public var isFileInput: Bool
    /// Nanoseconds this thread may let batches lie while packets stream in, to be woken less often.
    public var doze: UInt64
    /// Full pool: lose the oldest; otherwise the workers lose the newest.
    public var dropOldest: Bool
    /// What to add to the monotonic clock to get UTC.
    public var utcOffset: UInt64
    /// The latest interface statistics; called now and then on the egress thread.
    public var statistics: @Sendable () -> [(interface: UInt32, bytes: [UInt8])]
    /// One line for people.
    public var log: @Sendable (String) -> Void
    /// Where batches go that memory cannot keep; nil for nowhere.
    public var spill: SpillSetup?

    /// A setup from its parts.
    public init(
        pool: SegmentPool, workers: Int, plans: [DestinationPlan], counters: [Counters], limits: EgressLimits,
        run: RunIdentity, session: SessionIdentity, interfaces: InterfaceView, sectionHeader: [UInt8], wake: WakeSignal,
        input: InputState, asked: StopFlag,
        abort: StopFlag, stopReading: StopFlag, ready: StopFlag, ownTraffic: OwnTraffic, isFileInput: Bool,
        doze: UInt64 = 0, dropOldest: Bool, utcOffset: UInt64,
        statistics: @escaping @Sendable () -> [(interface: UInt32, bytes: [UInt8])],
        log: @escaping @Sendable (String) -> Void
    ) {
        (self.pool, self.workers, self.plans, self.counters) = (pool, workers, plans, counters)
        (self.limits, self.run, self.interfaces, self.sectionHeader) = (limits, run, interfaces, sectionHeader)
        (self.session, self.asked) = (session, asked)
        (self.wake, self.input, self.abort, self.stopReading) = (wake, input, abort, stopReading)
        (self.ready, self.ownTraffic, self.isFileInput) = (ready, ownTraffic, isFileInput)
        (self.doze, self.dropOldest, self.utcOffset) = (doze, dropOldest, utcOffset)
        (self.statistics, self.log) = (statistics, log)
    }

    /// Writers of all workers: those of worker w begin at w times `writersPerWorker`.
    var writers: Int { workers * writersPerWorker }

    /// Connections there can be at once: one per `--to`, and the readers of each listener.
    static func connectionCount(_ plans: [DestinationPlan], _ limits: EgressLimits) -> Int {
        plans.reduce(limits.spareConnections) { count, plan in
            switch plan.outlet {
            case .connect: count + 1
            case .listen: count + limits.guestsPerListener
            case .null, .file: count
            }
        }
    }

    /// Slots of the batch index that these plans need.
    ///
    /// - Parameter keeps: whether the cache takes everything, which needs one, too.
    public static func slotCount(_ plans: [DestinationPlan], _ limits: EgressLimits, keeps: Bool) -> Int {
        (keeps ? 1 : 0) + connectionCount(plans, limits)
            + plans.count { if case .file = $0.outlet { true } else { false } }
    }

    /// Memory of all connections, for the budget.
    public static func byteCount(_ plans: [DestinationPlan], _ limits: EgressLimits) -> Int {
        connectionCount(plans, limits) * limits.bytesPerConnection + (1 << 20)
    }
}

/// What the egress thread knows at its end beside its counters.
public struct DestinationOutcome: Sendable {
    /// Number of the plan.
    public var plan: Int
    /// Whether a connection was up at the end or at any time.
    public var wasUp: Bool
    /// How old what it got was.
    public var ages: DestinationAges
    /// The output file's first failure (errno), 0 if none.
    public var fileFailure: Int32
}
