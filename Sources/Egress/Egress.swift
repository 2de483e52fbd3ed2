internal import Admission
internal import CMachine
internal import Glibc
public import Machine
internal import Pcapng
internal import SegmentPool
internal import Transfer

/// The egress thread: takes batches in, sends them newest first to every destination, gives segments back.
///
/// Its turn is the data plane: nothing in it allocates, locks or waits. What is rare (connecting, accepting, ending)
/// is in the control part and runs between turns.
@safe public struct Egress: ~Copyable, @unchecked Sendable {
    // Safe because everything behind its pointers is owned by the one thread that calls `run`.
    let connections: UnsafeMutablePointer<Destination>
    let connectionCount: Int
    var setup: EgressSetup
    var index: BatchIndex
    var stream: StreamContext
    let files: UnsafeMutablePointer<FileDestination>
    let fileCount: Int
    let nulls: UnsafeMutablePointer<Counters>
    let nullCount: Int
    let freeRings: UnsafeMutablePointer<RingProducer<UInt32>>
    /// Writers of all workers, each with segments of its own.
    let writers: Int
    let holdsBack: Bool
    var drainTimeout: UInt64
    let utcOffset: UInt64
    let epoll: Int32
    let fileScratch: MemoryRegion
    /// Holders that were owed something and made no progress for the drain time, one bit per slot.
    var stalled: UInt64 = 0
    /// Listeners that cannot accept for want of descriptors, and when they are watched again (monotonic).
    var restingListeners: [Int] = []
    var restsUntil: UInt64 = 0
    /// Segments are still being touched.
    var poolGrows = true
    /// Shares there are, and the packets that came in for each lane in the present turn.
    let shareCount: Int
    let laneCounts: LaneCounts
    /// What the workers were last told about the shares.
    var sharing = Sharing()
    /// The connection of each place on the board, and the lane that the next one to join gets.
    var sharePlaces: [Int?] = []
    var nextLane: UInt16 = 1
    /// What became of destinations that were removed.
    var remembered: [DestinationOutcome] = []
    /// Who decides how much is diverted, and the bytes that came in and went to disk since it was told last.
    var admission: AdmissionControl?
    var ingressBytes: UInt64 = 0, spilledBytes: UInt64 = 0
    /// Changes that wait until nothing is on its way to disk.
    var pendingChanges: [EgressChange] = []
    var holdsSweep = false
    /// The keeper's work that must be done before anything more begins to be written to disk.
    var sweepBehind: UInt64?
    /// The way to disk, and bytes the cache may have.
    let spill: UnsafeMutablePointer<SpillLine>?
    let spillBytes: UInt64
    /// The slot that stands for what the cache keeps; negative if it keeps nothing.
    let keepSlot: Int
    let cache: CacheSide?
    var care: CacheCare
    /// What greetings have said, by connection.
    var talks: [Talk]
    /// Control-plane times (monotonic).
    var nextManaged: UInt64 = 0
    var nextStatistics: UInt64 = 0
    var inputEndedAt: UInt64 = 0
    /// When somebody asked a run that reads files to end; 0 until then.
    var askedAt: UInt64 = 0
    var nextSample: UInt64 = 0
    var nextAges: UInt64 = 0

    /// Makes the thread's state. Its free-segment rings come out through `freeRings`, one consumer per writer.
    public init(
        _ setup: EgressSetup, freeRings rings: (Int, consuming RingConsumer<UInt32>) -> Void
    ) throws(SystemError) {
        let writers = setup.writers
        let slots = EgressSetup.slotCount(setup.plans, setup.limits, keeps: setup.spill?.keep != nil)
        let index = try BatchIndex(pool: setup.pool, slots: max(slots, 1), workers: writers)
        let count = EgressSetup.connectionCount(setup.plans, setup.limits)
        let connections = UnsafeMutablePointer<Destination>.allocate(capacity: max(count, 1))
        let files = UnsafeMutablePointer<FileDestination>.allocate(capacity: max(setup.plans.count, 1))
        let nulls = UnsafeMutablePointer<Counters>.allocate(capacity: max(setup.plans.count, 1))
        let freeRings = UnsafeMutablePointer<RingProducer<UInt32>>.allocate(capacity: writers)
        let stream = try StreamContext(setup)
        let fileScratch = try MemoryRegion(byteCount: setup.limits.controlBytes, pages: .off)
        let laneCounts = try LaneCounts()
        let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        if epoll < 0 { throw SystemError("epoll_create1") }
        let marks = Watermarks(
            occupiable: index.occupiableSegments, spare: index.spareInHand, segmentBytes: setup.pool.segmentBytes)
        let cache = try CacheSide.start(setup, marks, wordsPerSet: index.wordsPerSet)
        var made = (connections: 0, files: 0, nulls: 0)
        var claimants = 0
        for (number, plan) in setup.plans.enumerated() {
            let counters = setup.counters[number]
            let slot = made.connections + made.files
            switch plan.outlet {
            case .null:
                unsafe (nulls + made.nulls).initialize(to: counters)
                made.nulls += 1
            case .file:
                let file = try FileDestination.start(slot: slot, plan: number, plan, counters, setup)
                unsafe (files + made.files).initialize(to: file)
                made.files += 1
            case .connect, .listen:
                let places = if case .listen = plan.outlet { setup.limits.guestsPerListener } else { 1 }
                for place in 0..<places {
                    var disk: UnsafeMutablePointer<DiskSource>?
                    if let cache, plan.spills {
                        unsafe disk = unsafe cache.source(
                            claimants, connection: made.connections, newestFirst: plan.newestFirst)
                        claimants += 1
                    }
                    let destination = try unsafe Destination(
                        slot: slot + place, plan: number, plan, counters: counters, limits: setup.limits, disk: disk)
                    unsafe (connections + made.connections).initialize(to: destination)
                    made.connections += 1
                }
            }
        }
        for _ in 0..<setup.limits.spareConnections {
            let disk = unsafe cache?.source(claimants, connection: made.connections, newestFirst: true)
            claimants += 1
            let spare = try unsafe Destination(
                slot: made.connections + made.files, plan: Destination.noPlan, .spare, counters: try Counters(),
                limits: setup.limits, disk: disk)
            unsafe (connections + made.connections).initialize(to: spare)
            made.connections += 1
        }
        for writer in 0..<writers {
            let ring = try SPSCRing<UInt32>(capacity: 8)
            unsafe (freeRings + writer).initialize(to: ring.makeProducer())
            rings(writer, ring.makeConsumer())
        }
        self.setup = setup
        unsafe (spill, self.cache) = (cache?.line, cache)
        spillBytes = setup.spill?.bytes ?? 0
        keepSlot = setup.spill?.keep == nil ? -1 : slots - 1
        care = CacheCare(run: setup.run)
        (shareCount, self.laneCounts) = (setup.shares.count, laneCounts)
        talks = Array(repeating: Talk(), count: made.connections)
        admission = AdmissionControl(setup, marks, connections: made.connections)
        self.fileScratch = fileScratch
        self.index = index
        self.stream = stream
        unsafe (self.connections, connectionCount) = (connections, made.connections)
        unsafe (self.files, fileCount) = (files, made.files)
        unsafe (self.nulls, nullCount) = (nulls, made.nulls)
        unsafe (self.freeRings, self.writers) = (freeRings, writers)
        holdsBack = setup.isFileInput || !setup.dropOldest
        (drainTimeout, utcOffset, self.epoll) = (setup.limits.drainTimeout, setup.utcOffset, epoll)
        if setup.admission != nil {
            self.index.setDiverted(from: setup.writersPerWorker / 2, perWorker: setup.writersPerWorker)
        }
        // Before the thread runs: what is captured meanwhile needs room.
        for writer in 0..<writers {
            let ring = unsafe freeRings + writer
            while unsafe self.index.handOut(to: writer, through: &ring.pointee) {}
        }
    }
}

extension DestinationPlan {
    /// Of a place that nobody has yet.
    fileprivate static var spare: DestinationPlan {
        DestinationPlan(
            name: "", address: "", outlet: .connect([]), wire: .pcapng, newestFirst: true, holds: true, ack: .auto)
    }
}

extension StreamContext {
    /// The constant bytes of a run's streams, in memory that stays.
    init(_ setup: EgressSetup) throws(SystemError) {
        func keep(_ bytes: [UInt8]) throws(SystemError) -> UnsafeRawBufferPointer {
            let region = try MemoryRegion(byteCount: bytes.count, pages: .off)
            unsafe bytes.withUnsafeBytes { unsafe spillway_copy(region.base, $0.baseAddress!, $0.count) }
            return unsafe UnsafeRawBufferPointer(start: region.base, count: bytes.count)
        }
        let limits = StreamLimits(
            scratchBytes: setup.limits.scratchBytes, ackWindow: setup.limits.ackWindow,
            statisticsInterval: setup.limits.statisticsInterval)
        unsafe self.init(
            limits: limits, interfaces: setup.interfaces, sectionHeader: try keep(setup.sectionHeader),
            lanes: try LaneBlocks(setup.laneBlocks),
            endBlock: try keep(End(.done).encoded()), run: setup.run,
            classicMicroseconds: try keep(ClassicPcap.header(.microseconds, linkType: 0)),
            classicNanoseconds: try keep(ClassicPcap.header(.nanoseconds, linkType: 0)),
            statistics: try StatisticsBlocks())
    }
}

extension FileDestination {
    /// Makes the destination and starts its writing thread.
    static func start(
        slot: Int, plan: Int, _ what: DestinationPlan, _ counters: Counters, _ setup: EgressSetup
    ) throws(SystemError) -> FileDestination {
        guard case .file(let descriptor, _) = what.outlet else { preconditionFailure("the plan of a file") }
        let jobs = try SPSCRing<FileJob>(capacity: depth)
        let results = try SPSCRing<FileResult>(capacity: depth)
        let work = try WakeSignal()
        let writer = UnsafeMutablePointer<FileWriter>.allocate(capacity: 1)
        unsafe writer.initialize(
            to: FileWriter(
                descriptor: descriptor, jobs: jobs.makeConsumer(), results: results.makeProducer(), work: work,
                done: setup.wake))
        let address = UInt(bitPattern: writer)
        let ended = StopFlag()
        // Not joined: `ended` says when it is over, and the process may end before a hanging disk answers.
        let thread = try PinnedThread(name: "file", cpus: nil) {
            unsafe UnsafeMutablePointer<FileWriter>(bitPattern: address)!.pointee.run()
            ended.set()
        }
        thread.detach()
        return FileDestination(
            slot: slot, plan: plan, holds: what.holds, counters: counters, jobs: jobs.makeProducer(),
            results: results.makeConsumer(), work: work, ended: ended)
    }
}
