import Capture
import Egress
import Glibc
import Machine
import Pcapng
import SegmentPool
import Synchronization
import TestSupport
import Transfer

/// How a rig differs from the usual one.
struct RigOptions {
    var segmentBytes = 512 << 10
    var segments = 8
    var workers = 1
    var batch = BatchLimits()
    var isFileInput = false
    var dropOldest = true
    var drainTimeout: UInt64 = 20_000_000_000
    var guests = 8
    var ackWindow = 4 << 20
    var statisticsInterval: UInt64 = 10_000_000_000
    var greetingTime: UInt64 = 500_000_000
    var proofTime: UInt64 = 5_000_000_000
    var retryLongest: UInt64 = 50_000_000
    var silenceTime: UInt64 = 60_000_000_000
    /// Destinations share the batches.
    var shares = false
    var reassignAfter: UInt64 = 30_000_000_000
    /// The relay's token.
    var token: [UInt8]?
    /// Whether the one interface is there from the beginning.
    var registersInterface = true
}

extension DestinationPlan {
    /// A destination that connects to a listener of the test.
    static func to(
        _ listener: TestListener, wire: Wire = .pcapng, newestFirst: Bool = true, name: String = "to"
    ) -> DestinationPlan {
        DestinationPlan(
            name: name, address: "\(listener.endpoint)", outlet: .connect([listener.endpoint]), wire: wire,
            newestFirst: newestFirst, holds: true)
    }

    /// A destination that connects to a collector.
    static func to(
        _ collector: ReferenceCollector, ack: AckPolicy = .required, newestFirst: Bool = true, name: String = "to",
        wire: Wire = .pcapng
    ) -> DestinationPlan {
        let endpoint = Endpoint(ipv4: UInt32(0x7f00_0001).bigEndian, port: collector.port)
        return DestinationPlan(
            name: name, address: "\(endpoint)", outlet: .connect([endpoint]), wire: wire,
            newestFirst: newestFirst, holds: true, ack: ack)
    }

    /// A listener for readers.
    static func guests(at socket: Int32, holds: Bool = false) -> DestinationPlan {
        DestinationPlan(
            name: "listen", address: "", outlet: .listen(socket: socket), wire: .pcapng, newestFirst: true,
            holds: holds)
    }

    /// A file, opened already.
    static func file(_ descriptor: Int32, _ path: String, holds: Bool) -> DestinationPlan {
        DestinationPlan(
            name: path, address: path, outlet: .file(descriptor: descriptor, path: path), wire: .pcapng,
            newestFirst: false, holds: holds)
    }
}

/// The egress thread for real, fed by the test in the place of workers.
///
/// A thread of its own takes snapshots of all counters all the time and holds them against the ledger.
final class EgressRig {
    let pool: SegmentPool
    let registry: InterfaceRegistry
    let run = RunIdentity.random()
    let plans: [DestinationPlan]
    let counters: [Counters]
    let stopReading = StopFlag()
    let ready = StopFlag()
    let asked = StopFlag(), abort = StopFlag()
    let log = RigLog()
    private(set) var feeders: [Feeder] = []
    private let input: InputState
    private let watcher: LedgerWatcher
    private let life = Life()
    private var thread: PinnedThread?
    private var hasEndedInput = false

    private final class Life: Sendable {
        let outcomes = Mutex<[DestinationOutcome]>([])
        let isOver = Atomic<Bool>(false)
    }

    private final class Box: @unchecked Sendable {
        // Safe because only the egress thread touches it once it runs.
        var egress: Egress
        init(_ egress: consuming Egress) { self.egress = egress }
    }

    init(_ plans: [DestinationPlan], _ options: RigOptions = RigOptions()) throws {
        self.plans = plans
        pool = try SegmentPool(
            segmentBytes: options.segmentBytes, count: options.segments, pages: .off, node: nil)
        registry = try InterfaceRegistry()
        if options.registersInterface { _ = registry.register(Self.interface("eth0")) }
        counters = try plans.map { _ in try Counters() }
        input = InputState(workers: options.workers)
        var limits = EgressLimits(maximumBatchBytes: Record.maximumByteCount + BatchTrailer.byteCount)
        (limits.drainTimeout, limits.guestsPerListener) = (options.drainTimeout, options.guests)
        (limits.ackWindow, limits.statisticsInterval) = (options.ackWindow, options.statisticsInterval)
        (limits.retryFirst, limits.retryLongest) = (min(5_000_000, options.retryLongest), options.retryLongest)
        (limits.reassignAfter, limits.silenceTime) = (options.reassignAfter, options.silenceTime)
        (limits.greetingTime, limits.proofTime) = (options.greetingTime, options.proofTime)
        let wake = try WakeSignal()
        let utcOffset = Clock.utcOffset()
        let view = registry.view
        var setup = EgressSetup(
            pool: pool, workers: options.workers, plans: plans, counters: counters, limits: limits, run: run,
            session: Self.session(token: options.token), interfaces: view,
            sectionHeader: StreamBlocks.sectionHeader(
                hardware: nil, system: nil, application: "the tests"), wake: wake, input: input, asked: asked,
            abort: abort,
            stopReading: stopReading, ready: ready, ownTraffic: try OwnTraffic(), isFileInput: options.isFileInput,
            dropOldest: options.dropOldest, utcOffset: utcOffset,
            statistics: {
                (0..<UInt32(view.count)).map {
                    ($0, StreamBlocks.statistics(interface: $0, time: 2, start: 1, StreamBlocks.Statistics()))
                }
            }, log: { [log] in log.add($0) })
        let connects = plans.count { if case .connect = $0.outlet { true } else { false } }
        let shares = ShareBoard(shares: options.shares ? connects : 0)
        setup.shares = shares
        var feeders: [Feeder] = []
        let egress = try Egress(setup) { [pool, run] worker, ring in
            let writer = BatchWriter(
                pool: pool, free: ring, limits: options.batch, run: run, worker: UInt16(worker), interfaces: view,
                counters: try! Counters(), wake: wake, shares: shares)
            feeders.append(Feeder(writer, worker: worker, utcOffset: utcOffset))
        }
        self.feeders = feeders
        watcher = try LedgerWatcher(counters, plans.map(\.name))
        let box = Box(egress)
        thread = try PinnedThread(name: "egress", cpus: nil) { [life] in
            let outcomes = box.egress.run()
            life.outcomes.withLock { $0 = outcomes }
            life.isOver.store(true, ordering: .releasing)
        }
    }

    /// What the relay says of itself, with the tests' own digests.
    static func session(token: [UInt8]?) -> SessionIdentity {
        let proofs = token.map { token in
            SessionIdentity.Proofs(
                make: { referenceHMAC(token, $0.message(.relay)) },
                check: { $0 == referenceHMAC(token, $1.message(.collector)) })
        }
        return SessionIdentity(
            sensor: "rig",
            runsDigest: { runs in
                let all = runs.map { run in
                    var bytes = ByteWriter(.little)
                    bytes.number(run.low)
                    bytes.number(run.high)
                    return bytes.bytes
                }
                return referenceSHA256(all.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 })
            },
            challenge: { (0..<32).map { _ in UInt8.random(in: 0...255) } }, proofs: proofs)
    }

    /// An interface description of this name.
    static func interface(_ name: String) -> [UInt8] {
        StreamBlocks.interface(InterfaceLabel(linkType: 1, name: name))
    }

    /// The one worker of most tests.
    var feeder: Feeder { feeders[0] }

    /// Everything fed so far, over all workers.
    var fed: [SamplePacket] { feeders.flatMap(\.fed) }

    /// How what came differs from what was fed.
    func compare(_ packets: [SamplePacket]) -> PacketDifference { PacketDifference(packets, expected: fed) }

    /// How what came differs from what was fed.
    func compare(_ stream: ParsedStream) -> PacketDifference { compare(stream.packets) }

    /// The latest published counters of a plan.
    func snapshot(_ plan: Int = 0) -> CounterSnapshot { counters[plan].snapshot() }

    /// Whether `run` has returned.
    var isOver: Bool { life.isOver.load(ordering: .acquiring) }

    /// Seals every worker's segment and says that the input is over.
    func endInput() {
        guard !hasEndedInput else { return }
        hasEndedInput = true
        for feeder in feeders {
            feeder.seal()
            input.workerEnded()
        }
    }

    /// Waits for the end of the run.
    ///
    /// - Returns: the outcomes.
    /// - Throws: when it does not end, or the ledger did not add up in some snapshot, or something stayed in memory.
    @discardableResult
    func finish(seconds: Int = 30) throws -> [DestinationOutcome] {
        endInput()
        try waitUntil("the end of the run", seconds: seconds) { isOver }
        stop()
        try watcher.check()
        for (plan, counters) in zip(plans, counters) where counters.snapshot()[.inMemory] != 0 {
            throw RigProblem("\(plan.name): \(counters.snapshot()[.inMemory]) packets in memory at the end")
        }
        return life.outcomes.withLock { $0 }
    }

    /// Ends everything, whatever state it is in.
    func stop() {
        abort.set()
        endInput()
        if let thread = thread.take() { thread.join() }
        watcher.stop()
    }

    deinit { stop() }

    /// Waits until the egress thread has taken in everything fed and published its counters.
    func waitUntilAssigned(_ plan: Int = 0) throws {
        let count = UInt64(feeders.reduce(0) { $0 + $1.fed.count })
        try waitUntil("\(count) assigned") { snapshot(plan)[.assigned] == count }
    }

    /// Waits until nothing moves any more: no counter of the plan changes for a while.
    func waitUntilQuiet(_ plan: Int = 0) throws {
        var last = snapshot(plan)
        var since = ContinuousClock.now
        try waitUntil("quiet") {
            usleep(5000)
            let now = snapshot(plan)
            if now != last { (last, since) = (now, ContinuousClock.now) }
            return ContinuousClock.now - since > .milliseconds(150)
        }
    }
}

/// The lines the egress thread wrote for people.
final class RigLog: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

/// Holds every snapshot of every plan against the ledger of the design.
final class LedgerWatcher {
    private final class State: Sendable {
        let stop = StopFlag()
        let failures = Mutex<[String]>([])
        let looks = Atomic<Int>(0)
    }

    private let state = State()
    private var thread: PinnedThread?

    init(_ counters: [Counters], _ names: [String]) throws {
        thread = try PinnedThread(name: "ledger", cpus: nil) { [state] in
            repeat {
                for (name, counters) in zip(names, counters) {
                    let now = counters.snapshot()
                    let right =
                        now[.handedOver] &+ now[.delivered] &+ now[.inMemory] &+ now[.onDisk] &+ now[.expired]
                        &+ now.sum("dropped", scope: .destination)
                    if now[.carriedIn] &+ now[.assigned] &+ now[.takenOver] != right,
                        state.failures.withLock({ $0.count }) < 10
                    {
                        state.failures.withLock {
                            $0.append("\(name): \(now[.assigned]) assigned, but \(right) accounted for")
                        }
                    }
                }
                state.looks.add(1, ordering: .relaxed)
                usleep(300)
            } while !state.stop.isSet
        }
    }

    func stop() {
        state.stop.set()
        if let thread = thread.take() { thread.join() }
    }

    func check() throws {
        let failures = state.failures.withLock { $0 }
        if !failures.isEmpty { throw RigProblem(failures.joined(separator: "; ")) }
        if state.looks.load(ordering: .relaxed) == 0 { throw RigProblem("the ledger was never looked at") }
    }
}
