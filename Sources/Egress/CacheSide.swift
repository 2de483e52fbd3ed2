internal import Admission
internal import Machine
internal import SegmentPool
internal import Sending
internal import SpillCache

/// What the egress thread needs of a spill cache beside its own end of the way to disk. Control plane.
struct CacheSide: Sendable {
    let setup: SpillSetup
    let catalogue: Catalogue
    let keeper: CacheKeeper
    let recall: CacheRecall
    let tools: SendingTools
    let lineAddress: UInt

    /// The egress thread's end of the way to disk.
    var line: UnsafeMutablePointer<SpillLine> { unsafe UnsafeMutablePointer(bitPattern: lineAddress)! }

    /// Makes everything and starts the threads; nil without a cache.
    static func start(_ setup: EgressSetup, _ marks: Watermarks, wordsPerSet: Int) throws(SystemError) -> CacheSide? {
        guard let spill = setup.spill else { return nil }
        let claimants = setup.plans.count(where: \.spills) + setup.limits.spareConnections
        let catalogue = try Catalogue(claimants: claimants)
        let keeper = try CacheKeeper(spill.directory, isDurable: spill.sync != .none, log: setup.log)
        let helpers = try HelperPool().makeClient(wake: setup.wake, capacity: 256)
        let tools = try SendingTools(helpers: helpers)
        let jobs = try SPSCRing<SpillJob>(capacity: 64)
        let results = try SPSCRing<SpillResult>(capacity: 1024)
        let (work, permit, cancelled) = (try WakeSignal(), FilePermit(), StopFlag())
        let recall = try CacheRecall(spill.directory, wake: setup.wake)
        let line = UnsafeMutablePointer<SpillLine>.allocate(capacity: 1)
        unsafe line.initialize(
            to: try SpillLine(
                spill, catalogue: catalogue, tools: tools, checks: recall.checks, marks: marks,
                wordsPerSet: wordsPerSet,
                jobs: jobs.makeProducer(),
                results: results.makeConsumer(), work: work, permit: permit, cancelled: cancelled))
        let thread = UnsafeMutablePointer<SpillThread>.allocate(capacity: 1)
        unsafe thread.initialize(
            to: SpillThread(
                spill, pool: setup.pool, run: setup.run, interfaces: setup.interfaces, lanes: setup.laneList,
                jobs: jobs.makeConsumer(), results: SpillResults(results.makeProducer(), wake: setup.wake), work: work,
                keeper: keeper, permit: permit, cancelled: cancelled))
        let address = UInt(bitPattern: thread)
        // Not joined: the process may end before a hanging disk answers.
        try PinnedThread(name: "spill", cpus: nil) {
            unsafe UnsafeMutablePointer<SpillThread>(bitPattern: address)!.pointee.run()
        }.detach()
        return CacheSide(
            setup: spill, catalogue: catalogue, keeper: keeper,
            recall: recall, tools: tools,
            lineAddress: UInt(bitPattern: line))
    }

    /// A destination's part in it, in memory that stays.
    func source(_ claimant: Int, connection: Int, newestFirst: Bool) -> UnsafeMutablePointer<DiskSource> {
        let source = UnsafeMutablePointer<DiskSource>.allocate(capacity: 1)
        unsafe source.initialize(
            to: DiskSource(
                catalogue, claimant: claimant, tools: tools, checks: recall.checks, connection: connection,
                newestFirst: newestFirst, setup.replay, rate: setup.replayRate))
        return unsafe source
    }
}
