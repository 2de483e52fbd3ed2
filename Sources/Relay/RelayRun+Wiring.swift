internal import Synchronization
internal import Telemetry
internal import Admission
internal import Capture
internal import Egress
internal import Glibc
internal import Machine
internal import Pcapng
internal import Reassembly
internal import SegmentPool

/// The wiring: reads like the path of a packet.
///
/// ```
/// capture ─ fast ring ─ worker (reassembly) ─ segment pool ─ egress ─ destinations
/// ```
extension RelayRun {
    /// Starts every thread.
    func start() throws(RelayError) {
        if !(outputs.isListenOnly && !options.isLive) || outputs.plans.contains(where: \.isNull) { ready.set() }
        try startTouching()
        let workers = try unsafe startEgress()
        let ids = try admitInterfaces()
        for lane in placement.lanes.indices { try unsafe startLane(lane, worker: unsafe workers + lane, ids) }
        try system { () throws(SystemError) in
            try metrics?.start { [self] form in metricsText(form) }
            try placement.control.pinCurrentThread()
        }
    }

    /// Touches more of the pool when the index asks for it. Not waited for: at the end of the run it is needed no more.
    private func startTouching() throws(RelayError) {
        try system { () throws(SystemError) in
            _ = try PinnedThread(name: "memory", cpus: placement.control) { [pool, console] in
                do throws(SystemError) { try pool.touchAsWanted() } catch {
                    console.log("memory: \(error); going on with \(pool.touched) of \(pool.count) segments")
                }
            }
        }
    }

    // ---- segment pool ─ egress ─ destinations -----------------------------------------------------------------------

    /// Starts the egress thread; returns one worker per lane, which gets its segments from it.
    private func startEgress() throws(RelayError) -> UnsafeMutablePointer<Worker> {
        let workers = UnsafeMutablePointer<Worker>.allocate(capacity: placement.lanes.count)
        let egress = UnsafeMutablePointer<Egress>.allocate(capacity: 1)
        try system { () throws(SystemError) in
            let nodes = placement.lanes.map { options.numaNode ?? MemoryRegion.node(ofCPU: $0.worker.members[0]) }
            let reassemblers = unsafe try fragments.makeReassemblers(
                counters.workers, nodes: nodes, pages: options.hugepages)
            let exchanges = try fragments.makeExchanges()
            let writers = UnsafeMutablePointer<BatchWriter>.allocate(capacity: placement.lanes.count * openBatches)
            let made = try Egress(egressSetup) { number, free in
                unsafe (writers + number).initialize(to: makeWriter(number, free: free))
            }
            for lane in placement.lanes.indices {
                let open = unsafe OpenBatches(
                    writers + lane * openBatches, count: openBatches,
                    rule: OpenBatches.Choice(shares: shares, seed: flowSeed, admission: diverting(lane)))
                unsafe (workers + lane).initialize(
                    to: makeWorker(lane, open: open, reassembler: reassemblers + lane, exchange: exchanges[lane]))
            }
            unsafe egress.initialize(to: made)
        }
        let address = UInt(bitPattern: egress)
        try system { () throws(SystemError) in
            try threads.start("egress", .egress, cpus: placement.egress) { [self] in
                let outcomes = unsafe UnsafeMutablePointer<Egress>(bitPattern: address)!.pointee.run()
                results.withLock { $0.outcomes = outcomes }
            }
        }
        return unsafe workers
    }

    private var egressSetup: EgressSetup {
        var setup = EgressSetup(
            pool: pool, workers: placement.lanes.count, plans: outputs.plans, counters: counters.destinations,
            limits: limits, run: identity, session: session, interfaces: registry.view,
            sectionHeader: StreamBlocks.sectionHeader(
                hardware: nil, system: "Linux", application: "Spillway, sensor \(options.name)"),
            wake: wake, input: input, asked: told, abort: abort, stopReading: idle, ready: ready, ownTraffic: own,
            isFileInput: !options.isLive, doze: options.isLive ? longestWait : 0,
            dropOldest: options.onFull == .dropOldest, utcOffset: utcOffset,
            statistics: { [self] in interfaceStatistics() }, log: console.log)
        (setup.allowed, setup.shares, setup.writersPerWorker) = (allowed, shares, openBatches)
        setup.changes = changes
        setup.spill = cache?.setup
        setup.admission = admission
        setup.ages = ages
        return setup
    }

    /// How long a thread may leave packets lying to take more of them at once, beside the time a batch may stay open.
    private var longestWait: UInt64 { options.batch.time / 10 }

    /// A writer by its number: those of a worker are one behind the other.
    private func makeWriter(_ number: Int, free: consuming RingConsumer<UInt32>) -> BatchWriter {
        let (lane, place) = number.quotientAndRemainder(dividingBy: openBatches)
        return BatchWriter(
            pool: pool, free: free, limits: options.batch, run: identity, worker: UInt16(lane),
            interfaces: registry.view, counters: counters.workers[lane], wake: wake, shares: shares,
            place: shares.rule == .byFlow ? place % shares.count : nil,
            isDiverted: admission != nil && place >= openBatches / 2)
    }

    private func diverting(_ lane: Int) -> OpenBatches.Diverting? {
        admission.map {
            OpenBatches.Diverting(gate: $0.gate, isByFlow: options.admit.isByFlow, filter: filters[lane])
        }
    }

    private func makeWorker(
        _ lane: Int, open: consuming OpenBatches, reassembler: UnsafeMutablePointer<Reassembler>,
        exchange: FragmentExchange.Slot
    ) -> Worker {
        let rules = WorkerRules(
            snapLength: options.snapLength, limit: options.count ?? .max, limitReached: counted,
            waits: !options.isLive, excludesOwn: options.isLive, utcOffset: utcOffset,
            reassembles: options.reassembles)
        return unsafe Worker(
            open: open, counters: counters.workers[lane], rules: rules, own: own, filter: filters[lane],
            reassembler: reassembler, exchange: FragmentExchange(exchange))
    }

    // ---- capture ─ fast ring ─ worker -------------------------------------------------------------------------------

    /// Registers every interface once, whatever the number of its queues. Returns their ids in the run, by place; none for
    /// raw IP, whose link type the first packet decides.
    private func admitInterfaces() throws(RelayError) -> [UInt32?] {
        try interfaces.names.indices.map { place throws(RelayError) in
            let (name, label) = interfaces.label(place, filter: options.filter)
            if label.linkType == LinkType.rawIP.value { return nil }
            return try gate.admit(label, filterInUserSpace: interfaces.filterInUserSpace, source: "-i \(name)")
        }
    }

    private func startLane(_ lane: Int, worker: UnsafeMutablePointer<Worker>, _ ids: [UInt32?]) throws(RelayError) {
        let place = placement.lanes[lane]
        if place.isMerged {
            let address = UInt(bitPattern: worker)
            try startCapture(lane, ids, cpus: place.capture) {
                unsafe PacketSink(worker: UnsafeMutablePointer<Worker>(bitPattern: address)!)
            } whenEnded: { [input, wake] in
                input.workerEnded()
                wake.wake()
            }
            return
        }
        let ring = try system { () throws(SystemError) in try ByteRing(byteCount: MemoryBudget.ringBytes) }
        let producer = UnsafeMutablePointer<ByteRingProducer>.allocate(capacity: 1)
        unsafe producer.initialize(to: ring.makeProducer())
        let captureEnded = StopFlag()
        let thread = UnsafeMutablePointer<WorkerThread>.allocate(capacity: 1)
        unsafe thread.initialize(
            to: WorkerThread(
                ring: ring.makeConsumer(), worker: worker.move(), inputEnded: captureEnded, giveUp: (idle, abort),
                longestNap: longestWait))
        let (consumer, sink) = (UInt(bitPattern: thread), UInt(bitPattern: producer))
        try system { () throws(SystemError) in
            try threads.start("worker-\(lane)", .worker, cpus: place.worker) { [input, wake] in
                unsafe UnsafeMutablePointer<WorkerThread>(bitPattern: consumer)!.pointee.run()
                input.workerEnded()
                wake.wake()
            }
        }
        try startCapture(lane, ids, cpus: place.capture) {
            unsafe PacketSink(ring: UnsafeMutablePointer<ByteRingProducer>(bitPattern: sink)!)
        } whenEnded: {
            captureEnded.set()
        }
    }

    private func startCapture(
        _ lane: Int, _ ids: [UInt32?], cpus: CPUSet, sink: @escaping @Sendable () -> PacketSink,
        whenEnded: @escaping @Sendable () -> Void
    ) throws(RelayError) {
        let stops = StopFlags(asked: stop, counted: counted, idle: idle, abort: abort)
        let body: @Sendable () -> [RelayError]
        if options.isLive {
            body = { [self] in captureLive(lane, ids[interfaces.lanes[lane].interface], stops, sink()) }
        } else {
            let paths = options.inputs.compactMap { if case .file(let path) = $0 { path } else { nil } }
            let map = try system { () throws(SystemError) in try InterfaceMap() }
            body = { [self] in
                var reader = FileReader(
                    paths: paths, gate: gate, counters: counters.captures[lane], stops: stops, ready: ready,
                    progress: progress, interfaces: map, sink: sink(), pace: options.pace)
                return reader.run()
            }
        }
        try system { () throws(SystemError) in
            try threads.start("capture-\(lane)", .capture, cpus: cpus) { [self] in
                let problems = body()
                results.withLock { $0.problems += problems }
                whenEnded()
            }
        }
    }
}

extension RelayRun {
    /// The body of a capture thread over an interface, or over one of its queues.
    private func captureLive(
        _ lane: Int, _ id: UInt32?, _ stops: StopFlags, _ sink: consuming PacketSink
    ) -> [RelayError] {
        let source = interfaces.lanes[lane]
        let problem: RelayError?
        if let socket = interfaces.socket(source.interface), let queue = source.queue, let id {
            var reader = XDPReader(
                interface: socket, place: queue.place, id: id, counters: counters.captures[lane], stops: stops,
                sink: sink, longestNap: longestWait, log: console.log)
            problem = reader.run()
        } else {
            let (name, label) = interfaces.label(source.interface, filter: options.filter)
            var reader = LiveReader(
                interface: interfaces.take(source.interface), id: id, counters: counters.captures[lane], stops: stops,
                sink: sink)
            problem = reader.run { (version) throws(RelayError) in
                var settled = label
                settled.linkType = (version == 4 ? LinkType.ipv4 : LinkType.ipv6).value
                return try gate.admit(
                    settled, filterInUserSpace: interfaces.filterInUserSpace, source: "-i \(name)")
            }
        }
        // One interface of several may go; the run goes on with the others, and says so at once.
        if let problem, interfaces.lanes.count > 1 { console.log(problem.message) }
        return problem.map { [$0] } ?? []
    }
}

extension DestinationPlan {
    /// Counts and discards.
    var isNull: Bool { if case .null = outlet { true } else { false } }
    /// We connect there.
    var isConnection: Bool { if case .connect = outlet { true } else { false } }
}
