/// A part of a file that is to be in memory as a whole, because what is in it is sent piece by piece in an order of its own:
/// the batches of a cache file go newest first, from the end of the window to its start.
///
/// While one window is being sent the owner prepares the one before it, so that the loop never waits for the disk. The
/// descriptor has to stay open while ``isBusy``.
public struct FileWindow: BitwiseCopyable, Sendable {
    /// The file, and the part.
    public let descriptor: Int32
    public let start: UInt64, end: UInt64
    /// What comes back with each result, to find this window by.
    public let ticket: UInt64
    /// Whether the part is in memory, as far as is known.
    public private(set) var isReady = false
    /// Since when it is (monotonic clock, nanoseconds).
    public private(set) var readySince: UInt64 = 0
    /// Whether it was brought in for this window, so that it is let go of.
    public private(set) var wasBroughtIn = false
    private var jobs: UInt32 = 0
    private var isLoading = false

    /// A window that nothing is known about.
    @_noLocks public init(descriptor: Int32, start: UInt64, end: UInt64, ticket: UInt64) {
        precondition(start < end, "a window is not empty")
        self.descriptor = descriptor
        self.start = start
        self.end = end
        self.ticket = ticket
    }

    /// Whether a helper still has a job with the descriptor.
    public var isBusy: Bool { @_noLocks get { jobs > 0 } }

    /// Looks whether the part is in memory, and has it brought in if not; true when it is there. It never waits.
    @_noLocks public mutating func prepare(now: UInt64, tools: borrowing SendingTools) -> Bool {
        if isReady || isLoading { return isReady }
        guard let helpers = tools.helpers else {
            becomeReady(now: now)
            return true
        }
        if Residency.isResident(descriptor, from: start, to: end) {
            becomeReady(now: now)
        } else if helpers.submit(job(.load)) {
            isLoading = true
            jobs = jobs &+ 1
        }
        return isReady
    }

    /// Takes the result of a job of this window. A part that could not be read becomes ready all the same: the sending meets
    /// the error and reports it.
    @_noLocks public mutating func take(_ result: HelperClient.Result, now: UInt64) {
        jobs = jobs &- 1
        guard case .load = result.job.kind else { return }
        isLoading = false
        wasBroughtIn = result.job.wasAbsent
        becomeReady(now: now)
    }

    /// Lets go of the part if it was brought in for this window. The owner calls this when the peers have what was sent of it.
    @_noLocks public mutating func release(tools: borrowing SendingTools) {
        guard wasBroughtIn, let helpers = tools.helpers else { return }
        if helpers.submit(job(.release)) { jobs = jobs &+ 1 }
        wasBroughtIn = false
        isReady = false
    }

    @_noLocks private mutating func becomeReady(now: UInt64) {
        isReady = true
        readySince = now
    }

    @_noLocks private func job(_ kind: HelperJob.Kind) -> HelperJob {
        HelperJob(kind, descriptor: descriptor, offset: start, byteCount: end &- start, ticket: ticket)
    }
}
