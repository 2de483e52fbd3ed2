internal import CMachine
internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache
internal import Telemetry
internal import Transfer

/// The main thread of a collector: everything but making files and syncing. One loop, no waiting on any peer.
@safe final class CollectorLoop {
    // Safe because the turn's buffer belongs to this object and is used by this thread alone.

    let options: CollectorOptions
    let console: CollectorConsole
    let places: CollectorPlaces
    let journal: Journal
    let sealer: Sealer
    private let syncer: Syncer?
    let signals: StopSignals
    private let lock: DirectoryLock
    let epoll: Int32
    let listeners: [Int32]

    var sensors: [String: Sensor] = [:]
    /// Which sensor each run belongs to.
    var owners: [RunIdentity: String] = [:]
    var counts = CollectorCounts()
    var connections: [Int32: Connection] = [:]
    var serial: UInt64 = 0

    /// Where a turn's bytes are gathered.
    var turn: UnsafeMutableRawBufferPointer
    var turnBase: UnsafeRawPointer
    var staged: StagedBatches?

    /// What waits for the next sync, and for the present one.
    private var unsynced = SyncRound(), syncing: SyncRound?
    /// Why nothing is read any more; nil if all is well.
    var storageProblem: String?
    /// When that was, what it was before, when it was said, and whether the present one is only that again.
    var stoppedAt: UInt64 = 0, lastStorageProblem: String?, saidStopped: UInt64 = 0, isRepeated = false
    /// Packets whose files could not be made; they are in the journal for the next life.
    var unfinished: UInt64 = 0
    var isStopping = false, isStoppingAtOnce = false
    private var stopTime: UInt64 = 0
    var lastTick: UInt64 = 0
    var nextSample: UInt64 = 0
    var problems: [String] = []
    var fatal: CollectorError?
    let started = Clock.monotonic()
    let published = PublishedFigures()
    var logTimes: [UInt64] = []
    var suppressedLines = 0

    private struct SyncRound {
        var acknowledgements: [UInt64: (connection: Connection, set: BatchSet)] = [:]
        var actions: [() -> Void] = []
        var isEmpty: Bool { acknowledgements.isEmpty && actions.isEmpty }
    }

    init(
        _ options: CollectorOptions, _ console: CollectorConsole, _ places: CollectorPlaces,
        _ lock: consuming DirectoryLock, _ signals: StopSignals, listeners: [Int32]
    ) throws(SystemError) {
        (self.options, self.console, self.places, self.listeners) = (options, console, places, listeners)
        self.signals = signals
        self.lock = lock
        sealer = try Sealer(places, application: options.application)
        syncer = options.isDurable ? try Syncer(places.journal) : nil
        journal = try Journal(places, options, sealer)
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        if epoll < 0 { throw SystemError("epoll_create1") }
        unsafe turn = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 64)
        unsafe turnBase = UnsafeRawPointer(turn.baseAddress!)
    }

    deinit {
        close(epoll)
        unsafe turn.deallocate()
    }

    /// Runs until it is told to stop and everything is in finished files, or until it cannot go on.
    func run() throws(CollectorError) {
        do throws(SystemError) {
            try sealer.start()
            try syncer?.start()
        } catch {
            throw .kernel(error)
        }
        for descriptor in listeners + [signals.descriptor, sealer.outcomes.descriptor] {
            watch(descriptor, UInt32(EPOLLIN.rawValue))
        }
        if let syncer { watch(syncer.outcomes.descriptor, UInt32(EPOLLIN.rawValue)) }
        while !isStoppingAtOnce, !(isStopping && sealer.hasEnded && connections.isEmpty) {
            wait()
            beginSync()
            tick()
            if let fatal { throw fatal }
        }
        takeOutcomes()
        publish()
    }

    private func wait() {
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 64)
        // Ages are sampled a hundred times a second while somebody is connected.
        let count = unsafe epoll_wait(epoll, &events, 64, connections.isEmpty ? 100 : 10)
        for place in 0..<max(0, Int(count)) {
            let descriptor = unsafe events[place].data.fd
            let flags = unsafe events[place].events
            if let connection = connections[descriptor] {
                handle(connection, flags)
            } else if listeners.contains(descriptor) {
                accept(from: descriptor)
            } else if descriptor == signals.descriptor {
                if signals.take() { stop() }
            } else if descriptor == sealer.outcomes.descriptor {
                takeOutcomes()
            } else if descriptor == syncer?.outcomes.descriptor {
                finishSync()
            }
        }
    }

    func watch(_ descriptor: Int32, _ events: UInt32, change: Bool = false) {
        var event = unsafe epoll_event()
        unsafe event.events = events
        unsafe event.data.fd = descriptor
        _ = unsafe epoll_ctl(epoll, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event)
    }

    /// The first time: connections end, and everything becomes files. The second time: at once; the next life goes on.
    private func stop() {
        if isStopping {
            // timeout(1) and others send one wish twice, to the process and to its group.
            if elapsed(since: stopTime, Clock.monotonic()) > 500_000_000 { isStoppingAtOnce = true }
            return
        }
        isStopping = true
        stopTime = Clock.monotonic()
        for listener in listeners { _ = epoll_ctl(epoll, EPOLL_CTL_DEL, listener, nil) }
        for connection in connections.values where connection.stage != .ending {
            end(connection, End(.leaving, "the collector stops"))
        }
        journal.sealAll()
        sealer.finish()
    }

    private func takeOutcomes() {
        for outcome in sealer.outcomes.take() {
            if let file = outcome.file {
                counts[.files] += 1
                counts[.journalDamage] += UInt64(file.damagedPlaces)
                sensors[outcome.job.state.name]?.tally.files += 1
                log("\(file.name): \(file.packets) packets, \(file.bytes) bytes")
                if file.damagedPlaces > 0 {
                    problem(
                        "\(outcome.job.journal.open): \(file.damagedPlaces) damaged places, left out of \(file.name)")
                }
            }
            if let failure = outcome.problem {
                counts[.sealRetries] += 1
                log("\(outcome.job.base): \(failure); \(outcome.isFinal ? "the next start goes on" : "trying again")")
                if outcome.isFinal { problem("\(outcome.job.base): \(failure)") }
                if outcome.isFinal, outcome.file == nil { unfinished += outcome.job.packets }
            }
            if outcome.isFinal { journal.sealed(outcome.job.journal) }
        }
    }

    // ---- acknowledging

    /// Acknowledges a batch that is in the journal, when it is as safe as was promised.
    func acknowledge(_ connection: Connection, _ lane: BatchLane, _ number: UInt64) {
        guard options.isDurable else {
            connection.acknowledgements.insert(lane, number)
            return
        }
        unsynced.acknowledgements[connection.serial, default: (connection, BatchSet())].set.insert(lane, number)
    }

    /// Runs something once all that is in the journal now is as safe as was promised.
    func afterSync(_ connection: Connection, _ action: @escaping () -> Void) {
        guard options.isDurable else { return action() }
        unsynced.actions.append { [self] in
            if connection.isClosed || connection.stage == .ending { return }
            action()
            advance(connection)
        }
    }

    /// Lets the next sync begin if one is wanted and none is under way.
    private func beginSync() {
        guard let syncer, syncing == nil, !unsynced.isEmpty else { return }
        var files: [Int32] = []
        for bucket in journal.buckets.values where bucket.isDirty {
            let copy = duplicate(bucket.writer.descriptor)
            guard copy >= 0 else {
                for file in files { close(file) }
                return
            }
            files.append(copy)
        }
        for bucket in journal.buckets.values { bucket.isDirty = false }
        files += journal.retired
        journal.retired = []
        syncing = unsynced
        unsynced = SyncRound()
        syncer.post(files)
    }

    private func finishSync() {
        for outcome in syncer?.outcomes.take() ?? [] {
            guard let round = syncing else { continue }
            syncing = nil
            if let outcome {
                // After a failed sync nobody can say what is on the disk; the next start looks at what really is there.
                fatal = .inputOutput(outcome)
                return
            }
            for (connection, set) in round.acknowledgements.values where !connection.isClosed {
                connection.acknowledgements.formUnion(set)
                finishTurn(connection)
            }
            for action in round.actions { action() }
        }
    }
}
