internal import Machine
internal import SegmentPool
internal import SpillCache

/// The life of a connection.
enum LinkState: UInt8 {
    /// The place is free (a listener's reader that is not there).
    case vacant
    /// Waiting until `retryAt`.
    case waiting
    case connecting
    case up
    /// Everything is delivered and our side is shut down; waiting for the peer to close.
    case closing
    /// Done for good.
    case finished
}

/// One destination, or one reader of a listener: its connection and what is on its way there.
///
/// Owned by the egress thread. It lies in fixed memory and is changed in place.
@safe struct Destination: ~Copyable {
    // Safe because what its pointer leads to lives as long as the process and belongs to the same thread.
    /// Its slot in the batch index.
    let slot: Int
    /// Its plan's place; several readers of one listener share a plan and its counters.
    var plan: Int
    var counters: Counters
    private(set) var isClassic = false
    private(set) var nanoseconds = false
    var newestFirst: Bool
    let isGuest: Bool
    var policy: AckPolicy
    var holds: Bool
    /// What it is owed on disk, if that may wait for it there.
    var disk: UnsafeMutablePointer<DiskSource>?
    /// The same, whether the one who has the place now is owed anything there or not.
    let ownDisk: UnsafeMutablePointer<DiskSource>?
    var gate = ReplayGate()
    /// The batch in hand waits for the disk, not for the socket.
    var isLoading = false
    var state = LinkState.vacant
    var descriptor: Int32 = -1
    /// The kernel would take more bytes.
    var isWritable = false
    /// The connection failed; the control side closes it.
    var isBroken = false
    var pieces: PieceQueue
    var inFlight: InFlightQueue
    /// Bytes the kernel has taken on this connection, and those the peer has acknowledged.
    var written: UInt64 = 0
    var acknowledged: UInt64 = 0
    /// Whether the stream's beginning was queued, and how many interfaces it has described.
    var isBegun = false
    var described = 0
    /// Bytes of lane blocks it has told.
    var toldLanes = 0
    /// The run whose section the stream is in, by its place among all runs, and the interfaces that it describes where
    /// that is not the present run.
    var section: UInt16 = 0
    var sectionInterfaces: UInt32 = 0
    var scratch: MemoryRegion
    var scratchUsed = 0
    var control: MemoryRegion
    var controlUsed = 0
    /// Acknowledgement: how far the greetings have come, whether there ever were any, what the other side has said.
    var greeting = Greeting.plain
    var hasGreeted = false
    var inbox: Inbox
    /// What came on a plain connection may still be the beginning of a greeting.
    var mayGreetLate = false
    var lastHeard: UInt64 = 0
    /// What the other side must be told will not come.
    var gone: GoneQueue
    /// Delivered on the present plain connection, for a greeting that comes late.
    var plainPackets: UInt64 = 0
    var plainBytes: UInt64 = 0
    var plainDeliveries: PlainDeliveries
    /// The lane of its share; 0 where it gets everything.
    var lane: UInt16 = 0
    /// Since when it is down, where that matters; 0 while it is up.
    var downSince: UInt64 = 0
    /// The other side refused; it is not tried again soon.
    var isRefused = false
    /// The other side does not take batches of earlier runs from it.
    var leavesEarlier = false
    /// From when on it is offered batches of earlier runs (monotonic).
    var offersAt: UInt64 = 0
    /// It has refused, and taken nothing since: coming up again is no progress.
    var wasRefused = false
    /// Monotonic times: last progress, next attempt, present pause, next statistics.
    var lastProgress: UInt64 = 0
    var retryAt: UInt64 = 0
    var pause: UInt64 = 0
    var statisticsAt: UInt64 = 0
    var address = 0
    var ticket: Int?
    var wasUp = false
    /// Packets unsent and in the index, kept beside the bits so that the ledger can be read at any time.
    var unsentPackets: UInt64 = 0
    /// The statistics that end the stream were queued.
    var isEnded = false
    var ages = Ages()

    init(
        slot: Int, plan: Int, _ what: DestinationPlan, counters: Counters, limits: EgressLimits,
        disk: UnsafeMutablePointer<DiskSource>?
    ) throws(SystemError) {
        // Every allocation first: a noncopyable value is made whole or not at all.
        let pieces = try PieceQueue()
        let inFlight = try InFlightQueue(capacity: limits.inFlightBatches)
        let scratch = try MemoryRegion(byteCount: limits.scratchBytes, pages: .off)
        let control = try MemoryRegion(byteCount: limits.controlBytes, pages: .off)
        // Who we connect to may be a collector, also where it was not meant to be one.
        let mayGreet = if case .listen = what.outlet { false } else { true }
        let inbox = try Inbox(capacity: mayGreet ? Inbox.capacity : 4096)
        let gone = try GoneQueue()
        let plainDeliveries = try PlainDeliveries(remembers: mayGreet)
        unsafe self.disk = plan == Self.noPlan ? nil : disk
        unsafe ownDisk = disk
        (self.slot, self.plan, self.counters) = (slot, plan, counters)
        newestFirst = what.newestFirst
        if case .listen = what.outlet { isGuest = true } else { isGuest = false }
        holds = what.holds
        policy = what.ack
        self.pieces = pieces
        self.inFlight = inFlight
        self.inbox = inbox
        self.gone = gone
        self.plainDeliveries = plainDeliveries
        (self.scratch, self.control) = (scratch, control)
        setWire(what.wire)
    }

    /// Nothing may wait on disk for it any more, nor for who comes after it.
    mutating func leaveDisk() { unsafe disk = nil }

    /// What its stream looks like.
    mutating func setWire(_ wire: Wire) {
        switch wire {
        case .pcapng: (isClassic, nanoseconds) = (false, false)
        case .classic(let fine): (isClassic, nanoseconds) = (true, fine)
        }
    }

    /// Batches may be sent now.
    var carries: Bool {
        @_noLocks get {
            switch greeting {
            case .plain, .agreed: true
            default: false
            }
        }
    }

    /// The collector acknowledges, not its TCP.
    var isAgreed: Bool { @_noLocks get { if case .agreed = greeting { true } else { false } } }

    /// Nothing is chosen or in flight.
    var isQuiet: Bool { @_noLocks get { pieces.isEmpty && inFlight.isEmpty && !isReplaying } }

    /// A batch from disk is in hand.
    var isReplaying: Bool {
        @_noLocks get { if let disk = unsafe disk { unsafe disk.pointee.isSending } else { false } }
    }

    /// There is nothing left that it was not sent: in memory, on the way to disk, or to be sent from disk in this run.
    @_noLocks func isDrained(_ index: borrowing BatchIndex) -> Bool {
        guard unsentPackets == 0, index.isDrained(slot) else { return false }
        guard let disk = unsafe disk else { return true }
        return unsafe disk.pointee.isDrained
    }

    /// Packets it is owed that are only on disk.
    var packetsOnDisk: UInt64 {
        guard let disk = unsafe disk else { return 0 }
        return unsafe disk.pointee.catalogue.owedPackets(disk.pointee.claimant)
    }

    /// All bytes of the connection are acknowledged, those that are no batches included.
    var isAcknowledged: Bool { @_noLocks get { acknowledged == written } }
}
