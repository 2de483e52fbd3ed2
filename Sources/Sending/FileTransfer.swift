internal import CSending
internal import Glibc

/// A range of a file on its way into a non-blocking socket, in calls of bounded length that never wait for the disk.
///
/// Before bytes are sent they are looked for in the page cache. What is not there is brought in by a helper, part after
/// part, while the part before is being sent; what was brought in for this transfer is let go of behind it, so that sending
/// a file of any size takes a few parts' worth of memory. The range is fixed at the start: a file that grows is sent up to
/// the length it had, and one that shrinks ends the transfer (``SendOutcome/shrunk``).
///
/// The thread has SIGPIPE blocked, as every ``PinnedThread`` has: sendfile(2) and splice(2) know no other way.
///
/// The struct is plain memory: nothing is allocated, counted or locked. The descriptor is the owner's, and has to stay open
/// while ``isBusy``: a helper may still use it.
public struct FileTransfer: BitwiseCopyable, Sendable {
    /// The file.
    public let descriptor: Int32
    /// What comes back with each result, to find this transfer by.
    public let ticket: UInt64
    /// The next byte to send.
    public internal(set) var position: UInt64
    /// Where the range ends.
    public let end: UInt64
    /// How the range is made resident.
    public var limits: TransferLimits

    /// Up to where bytes are believed to be in memory, and when they were looked for.
    var residentEnd: UInt64
    var residentSince: UInt64 = 0
    /// A part on its way into memory: from `residentEnd` to here; 0 if there is none.
    var loadingEnd: UInt64 = 0
    /// Bytes brought in at a time.
    var window: UInt64
    /// What was brought in for this transfer, in one piece, and up to where letting go of it was asked for.
    var broughtStart: UInt64, broughtEnd: UInt64, releasedEnd: UInt64
    /// Whether the kernel reads ahead for this transfer.
    var isStreamed = false
    /// Jobs whose results have not come back.
    var jobs: UInt32 = 0
    /// Whether the last call found bytes missing, so that the disk is what this transfer waits for.
    var starved = false
    /// The pipe of ``SendMethod/splice``, and how much of the file is in it.
    var pipeIn: Int32 = -1, pipeOut: Int32 = -1
    var piped: UInt64 = 0

    /// A transfer of the bytes from `start` to before `end`.
    @_noLocks public init(
        descriptor: Int32, start: UInt64, end: UInt64, ticket: UInt64, limits: TransferLimits = TransferLimits()
    ) {
        precondition(start <= end, "a range ends behind its start")
        self.descriptor = descriptor
        self.ticket = ticket
        self.position = start
        self.end = end
        self.limits = limits
        residentEnd = start
        window = limits.firstWindow
        broughtStart = start
        broughtEnd = start
        releasedEnd = start
    }

    /// A transfer of a range that a ``FileWindow`` has found or made resident: it is not looked for again, and not let go of.
    ///
    /// - Parameter since: when it was found, by the monotonic clock; it is trusted for `limits.trust` from then.
    @_noLocks public init(
        descriptor: Int32, start: UInt64, end: UInt64, ticket: UInt64, residentSince since: UInt64,
        limits: TransferLimits = TransferLimits()
    ) {
        self.init(descriptor: descriptor, start: start, end: end, ticket: ticket, limits: limits)
        self.limits.releases = false
        residentEnd = end
        residentSince = since
    }

    /// Bytes still to be sent.
    public var remaining: UInt64 { @_noLocks get { end &- position } }

    /// Whether a helper still has a job with this transfer's descriptor.
    public var isBusy: Bool { @_noLocks get { jobs > 0 } }

    /// Whether something was brought in for this transfer that ``finish(tools:)`` lets go of.
    public var holdsMemory: Bool { @_noLocks get { broughtEnd > broughtStart } }

    /// Sends at most `limit` bytes.
    ///
    /// - Parameters:
    ///   - socket: a connected, non-blocking stream socket.
    ///   - limit: the most bytes of this call; 512 KiB to 2 MiB keep a loop lively and the calls worth their while.
    ///   - now: the monotonic clock, nanoseconds.
    @_noLocks public mutating func send(
        to socket: Int32, limit: UInt64, now: UInt64, tools: borrowing SendingTools
    ) -> SendOutcome {
        if position == end { return .finished }
        if !bringIn(now: now, tools: tools) { return .loading }
        let most = min(limit, residentEnd &- position)
        let before = position
        var outcome = SendOutcome.progressed
        while position &- before < most {
            let count = move(to: socket, most: most &- (position &- before), tools: tools)
            if count > 0 {
                position = position &+ UInt64(count)
                continue
            }
            outcome = count == 0 ? .shrunk : count == -Int(EAGAIN) ? .blocked : .failed(Int32(-count))
            break
        }
        letGo(behind: position, tools: tools)
        return position == end ? .finished : outcome
    }

    /// Takes the result of a job of this transfer.
    @_noLocks public mutating func take(_ result: HelperClient.Result) {
        jobs = jobs &- 1
        if case .release = result.job.kind { return }
        loadingEnd = 0
        // A failure is left to the sending, which meets the same error and reports it.
        let loaded = result.job.offset &+ result.job.byteCount
        if result.job.wasAbsent, limits.releases { own(from: result.job.offset, to: loaded) }
        if result.job.offset == residentEnd { residentEnd = loaded }
    }

    /// Ends the transfer, finished or not: gives back the pipe and lets go of all that was brought in, also of what a
    /// socket held when it was first asked for. The owner calls this when the peer has everything, or is gone.
    @_noLocks public mutating func finish(tools: borrowing SendingTools) {
        if limits.releases, broughtEnd > broughtStart {
            release(
                from: broughtStart, to: isStreamed ? broughtEnd &+ Self.greatestReadAhead : broughtEnd, tools: tools)
        }
        if isStreamed, let helpers = tools.helpers { helpers.endStream() }
        isStreamed = false
        broughtStart = broughtEnd
        closePipe()
    }
}
