internal import Machine
internal import Synchronization

/// A piece of work for a helper, or its result.
struct HelperJob: BitwiseCopyable {
    enum Kind: UInt32 {
        /// Bring a part of a file into memory.
        case load
        /// The same of a part that is one of many, read one after the other: the kernel may read beyond it.
        case stream
        /// Let go of the cached pages of a part of a file.
        case release
        /// Ends the thread that takes it.
        case stop
    }

    var kind: Kind
    /// The file, which stays open until the result is taken.
    var descriptor: Int32
    var offset: UInt64
    var byteCount: UInt64
    /// The client's own word for what this belongs to.
    var ticket: UInt64
    /// Which client gets the result.
    var client: UInt32
    /// 0, or the errno of the failure.
    var status: Int32
    /// Of a load: whether more of the part was absent than present before.
    var wasAbsent: Bool
    /// Of a stream: the part before it was brought in by the same transfer, so that what is there of this one was read ahead.
    var isContinued: Bool

    @_noLocks init(
        _ kind: Kind, descriptor: Int32 = -1, offset: UInt64 = 0, byteCount: UInt64 = 0, ticket: UInt64 = 0,
        client: UInt32 = 0
    ) {
        self.kind = kind
        self.descriptor = descriptor
        self.offset = offset
        self.byteCount = byteCount
        self.ticket = ticket
        self.client = client
        status = 0
        wasAbsent = false
        isContinued = false
    }
}

/// A bounded queue for many writers and many readers without locks: each slot carries the number of the turn it is ready
/// for (D. Vyukov's bounded MPMC queue). The memory lives as long as the process.
@safe struct JobQueue: BitwiseCopyable, @unchecked Sendable {
    // Safe because a slot is touched only by whoever won its turn, and the memory is never freed.
    private let turns: UnsafeMutablePointer<Atomic<UInt64>>
    private let jobs: UnsafeMutablePointer<HelperJob>
    private let ends: UnsafeMutablePointer<Atomic<UInt64>>
    private let mask: UInt64

    /// Words between the two ends, so that writers and readers do not share a cache line.
    private static var tailPlace: Int { @_noLocks get { 0 } }
    private static var headPlace: Int { @_noLocks get { 16 } }

    /// A queue with room for this many jobs, a power of two.
    init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a queue's capacity is a power of two")
        unsafe turns = .allocate(capacity: capacity)
        for slot in 0..<capacity { unsafe (turns + slot).initialize(to: Atomic(UInt64(slot))) }
        unsafe jobs = .allocate(capacity: capacity)
        unsafe jobs.initialize(repeating: HelperJob(.stop), count: capacity)
        unsafe ends = .allocate(capacity: 32)
        for place in 0..<32 { unsafe (ends + place).initialize(to: Atomic(0)) }
        mask = UInt64(capacity - 1)
    }

    /// Adds a job; false if the queue is full.
    @_noLocks func push(_ job: HelperJob) -> Bool {
        while true {
            let turn = unsafe ends[Self.tailPlace].load(ordering: .relaxed)
            let slot = Int(truncatingIfNeeded: turn & mask)
            let ready = unsafe turns[slot].load(ordering: .acquiring)
            if ready == turn {
                let won = unsafe ends[Self.tailPlace].compareExchange(
                    expected: turn, desired: turn &+ 1, ordering: .relaxed)
                guard won.exchanged else { continue }
                unsafe jobs[slot] = job
                unsafe turns[slot].store(turn &+ 1, ordering: .releasing)
                return true
            }
            if Int64(bitPattern: ready &- turn) < 0 { return false }
        }
    }

    /// Takes the oldest job; nil if there is none.
    @_noLocks func pop() -> HelperJob? {
        while true {
            let turn = unsafe ends[Self.headPlace].load(ordering: .relaxed)
            let slot = Int(truncatingIfNeeded: turn & mask)
            let ready = unsafe turns[slot].load(ordering: .acquiring)
            if ready == turn &+ 1 {
                let won = unsafe ends[Self.headPlace].compareExchange(
                    expected: turn, desired: turn &+ 1, ordering: .relaxed)
                guard won.exchanged else { continue }
                let job = unsafe jobs[slot]
                unsafe turns[slot].store(turn &+ mask &+ 1, ordering: .releasing)
                return job
            }
            if Int64(bitPattern: ready &- (turn &+ 1)) < 0 { return nil }
        }
    }
}
