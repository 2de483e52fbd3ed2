internal import CMachine
internal import Machine
internal import Pcapng
internal import SegmentPool

/// The egress side of `-w`: lends batches to the writing thread in capture order and settles what comes back.
@safe struct FileDestination: ~Copyable {
    // Safe because memory is lent by address only while the index pins its segment.

    /// Jobs and results under way at most; a power of two.
    static var depth: Int { @_noLocks get { 64 } }
    let slot: Int
    let plan: Int
    let counters: Counters
    let holds: Bool
    private var jobs: RingProducer<FileJob>
    private var results: RingConsumer<FileResult>
    private let work: WakeSignal
    private var outstanding = 0
    private var described = 0
    private var toldLanes = 0
    private var isBegun = false
    private(set) var outstandingPackets: UInt64 = 0
    var unsentPackets: UInt64 = 0
    /// First failure (errno), for the message and the exit code.
    private(set) var failure: Int32 = 0
    private(set) var isFinished = false
    /// The writing thread is over.
    let ended: StopFlag

    init(
        slot: Int, plan: Int, holds: Bool, counters: Counters, jobs: consuming RingProducer<FileJob>,
        results: consuming RingConsumer<FileResult>, work: WakeSignal, ended: StopFlag
    ) {
        self.ended = ended
        (self.slot, self.plan, self.holds, self.counters) = (slot, plan, holds, counters)
        self.jobs = jobs
        self.results = results
        self.work = work
    }

    /// Nothing is lent out.
    var isQuiet: Bool { @_noLocks get { outstanding == 0 } }

    /// Settles what was written and lends what is next; returns how much moved.
    @_noLocks mutating func pump(_ index: inout BatchIndex, _ stream: StreamContext) -> Int {
        var moved = 0
        while let result = results.pop() {
            outstanding -= 1
            outstandingPackets -= UInt64(result.packets)
            index.settle(slot, result.reference)
            if result.failure == 0 {
                counters.add(.delivered, UInt64(result.packets))
                counters.add(.deliveredBytes, UInt64(result.bytes))
            } else {
                counters.add(.droppedWrite, UInt64(result.packets))
                if failure == 0 { failure = result.failure }
            }
            moved += 1
        }
        results.release()
        guard stream.interfaces.count > 0 || stream.inputEnded else { return moved }
        var lent = 0
        while outstanding < Self.depth / 4, let reference = index.oldest(slot) {
            begin(stream)
            describe(stream)
            lend(&index, reference)
            lent += 1
        }
        if lent > 0 {
            jobs.publish()
            work.wake()
        }
        return moved + lent
    }

    /// The writing thread hangs and the run is over: what is lent to it is lost.
    mutating func abandonOutstanding() {
        counters.add(.droppedDrain, outstandingPackets)
        outstandingPackets = 0
    }

    @_noLocks private mutating func lend(_ index: inout BatchIndex, _ reference: BatchReference) {
        let batch = unsafe index.pool.batch(reference)
        let packets = index.pool.packets(reference)
        index.take(slot, reference)
        unsafe push(FileJob(batch, reference, packets: packets))
        outstanding += 1
        outstandingPackets += UInt64(packets)
        unsentPackets -= UInt64(packets)
    }

    @_noLocks private mutating func begin(_ stream: StreamContext) {
        guard !isBegun else { return }
        isBegun = true
        unsafe append(stream.sectionHeader)
        describe(stream)
    }

    @_noLocks private mutating func describe(_ stream: StreamContext) {
        let known = stream.interfaces.count
        if described < known {
            unsafe append(stream.interfaces.descriptions(from: described, to: known))
            described = known
        }
        if toldLanes < stream.lanes.byteCount {
            unsafe append(stream.lanes.rest(after: toldLanes))
            toldLanes = stream.lanes.byteCount
        }
    }

    @_noLocks private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        unsafe push(FileJob(bytes, isLast: false))
    }

    @_noLocks private mutating func push(_ job: FileJob) {
        let fits = jobs.push(job)
        precondition(fits, "the job ring has room for every batch lent and the blocks before it")
    }

    /// Ends the file with its statistics; the writing thread ends after that. Call once everything is written.
    @_noLocks mutating func finish(_ stream: StreamContext, scratch: UnsafeMutableRawPointer, capacity: Int) {
        guard !isFinished else { return }
        isFinished = true
        begin(stream)
        let count = unsafe stream.statistics.copy(to: scratch, capacity: capacity, interfaces: described)
        if count > 0 { unsafe append(UnsafeRawBufferPointer(start: scratch, count: count)) }
        unsafe push(FileJob(UnsafeRawBufferPointer(start: nil, count: 0), isLast: true))
        jobs.publish()
        work.wake()
    }
}
