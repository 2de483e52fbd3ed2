internal import CMachine
internal import CSending
internal import Machine

/// The queue of jobs and what wakes a thread for one.
struct HelperCore: BitwiseCopyable, Sendable {
    let queue: JobQueue
    let semaphore: Int32
    /// Where what is read only to be in memory goes; negative if there is no such place.
    let null: Int32
    /// Transfers that are streamed; never freed, as the queue.
    let streams: StreamCount

    init(capacity: Int) throws(SystemError) {
        semaphore = spillway_semaphore()
        if semaphore < 0 { throw SystemError("eventfd", "", code: -semaphore) }
        null = spillway_null()
        streams = StreamCount()
        queue = JobQueue(capacity: capacity)
    }
}

/// One event loop's connection to the ``HelperPool``. Copies are the same client; only one thread takes results.
public struct HelperClient: Sendable {
    private let core: HelperCore
    private let number: UInt32
    private let wake: WakeSignal
    private let results: JobQueue

    init(core: HelperCore, number: UInt32, wake: WakeSignal, capacity: Int) {
        self.core = core
        self.number = number
        self.wake = wake
        results = JobQueue(capacity: capacity)
    }

    /// What became of a job of a transfer.
    public struct Result: BitwiseCopyable, Sendable {
        let job: HelperJob

        /// The ticket the transfer was made with: it tells the loop whose result this is.
        public var ticket: UInt64 { @_noLocks get { job.ticket } }

        @_noLocks init(_ job: HelperJob) { self.job = job }
    }

    /// The next result, to be given to its transfer (``FileTransfer/take(_:)``); nil if there is none.
    @_noLocks public func nextResult() -> Result? {
        guard let job = results.pop() else { return nil }
        return Result(job)
    }

    /// Asks for a job; false if the queue is full.
    @_noLocks func submit(_ job: HelperJob) -> Bool {
        var job = job
        job.client = number
        guard core.queue.push(job) else { return false }
        spillway_event_signal(core.semaphore)
        return true
    }

    /// Begins to stream a transfer; false if so many are streamed already that it must not.
    @_noLocks func beginStream() -> Bool { core.streams.begin() }

    /// A transfer that was streamed is over.
    @_noLocks func endStream() { core.streams.end() }

    /// Hands a result to the loop; called by helpers.
    func deliver(_ job: HelperJob) {
        // A loop takes its results at every turn, so that a full queue empties.
        while !results.push(job) { Clock.sleep(nanoseconds: 100_000) }
        wake.wake()
    }
}
