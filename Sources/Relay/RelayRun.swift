internal import Admission
internal import Capture
internal import Egress
internal import FileService
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import Synchronization
internal import Telemetry

/// One run: its parts, allocated once, before anything moves. How they are wired is in `RelayRun+Wiring`.
final class RelayRun: Sendable {
    let options: RelayOptions
    let console: RelayConsole
    let identity = RunIdentity.random()
    let started = Clock.monotonic()
    let utcOffset = Clock.utcOffset()

    let interfaces: LiveInterfaces
    let own: OwnTraffic
    let outputs: Outputs
    let session: SessionIdentity
    let allowed: [Subnet]
    /// Who gets what, where destinations share the batches.
    let shares: ShareBoard
    /// Batches each worker has open at once.
    let openBatches: Int
    /// Of the hash of conversations.
    let flowSeed = UInt64.random(in: 0...UInt64.max)
    let placement: Placement
    let limits: EgressLimits
    let fragments: FragmentPlan
    let budget: MemoryBudget
    let pool: SegmentPool
    let registry: InterfaceRegistry
    let counters: RunCounters
    let filters: [FilterSlot]
    let gate: LinkTypeGate
    let threads: ThreadGroup
    let input: InputState
    let wake: WakeSignal
    let metrics: MetricsServer?
    let files: FileServer?
    let cache: SpillDirectory?
    let admission: AdmissionSetup?
    let ages: AgeBoard?
    let progress = FileProgress()

    /// A signal or the time asks to end; the count is reached; nobody makes progress any more; a second signal.
    let stop = StopFlag(), counted = StopFlag(), idle = StopFlag(), abort = StopFlag()
    /// A signal has asked the run to end.
    let told = StopFlag()
    /// Reading may begin: at once, but where a first reader is waited for.
    let ready = StopFlag()
    /// What the threads leave behind.
    let changes = EgressChanges()
    /// The destinations as they are now, by their numbers, and those that were taken out.
    let present: Mutex<(plans: [DestinationPlan], removed: Set<Int>, options: RelayOptions)>
    let results = Mutex<(problems: [RelayError], outcomes: [DestinationOutcome])>(([], []))

    init(_ options: RelayOptions, console: RelayConsole) throws(RelayError) {
        DescriptorLimit.raise()
        (self.options, self.console) = (options, console)
        try FileReader.check(options)
        session = try SessionIdentity(options)
        if let spill = options.spill {
            cache = try SpillDirectory(spill, sensor: options.name, log: console.log)
        } else {
            cache = nil
        }
        allowed = try options.allowedSubnets()
        interfaces = try LiveInterfaces(options)
        own = try system { () throws(SystemError) in try OwnTraffic() }
        outputs = try Outputs(options, own: own)
        present = Mutex((outputs.plans, [], options))
        let spares = options.canReload ? Self.sparePlaces : 0
        shares = ShareBoard(
            shares: options.distribution == .everybody ? 0 : options.destinations.count { $0.address != nil },
            spare: spares, rule: options.distribution)
        // Before the first packet, or a conversation that has begun would move.
        shares.publish(
            options.destinations.filter { $0.address != nil }.enumerated().map { ($0.offset, $0.element.share) })
        let openBatches = shares.openBatches * (options.diverts ? 2 : 1)
        admission = options.diverts ? AdmissionSetup(fixed: options.admit.fixed) : nil
        self.openBatches = openBatches
        interfaces.feed(from: own)
        let lanes = options.isLive ? interfaces.lanes.count : 1
        let isXDP = !interfaces.lanes.isEmpty && interfaces.lanes.allSatisfy { $0.queue != nil }
        placement = try Placement(options: options, lanes: lanes, available: .available(), mergesThreads: isXDP)
        // A single record may be larger than a batch; it is a batch of its own then.
        let largest = max(options.batch.bytes, Record.maximumByteCount + BatchTrailer.byteCount)
        var limits = EgressLimits(maximumBatchBytes: min(largest, options.segmentSize))
        limits.drainTimeout = options.drainTimeout
        (limits.ackWindow, limits.reassignAfter) = (options.ackWindow, options.reassignAfter)
        limits.retryFirst = min(limits.retryFirst, options.retryLongest)
        limits.retryLongest = options.retryLongest
        limits.spareConnections = spares
        self.limits = limits
        fragments = try FragmentPlan(options: options, lanes: lanes, interfaces: interfaces)
        let budget = try MemoryBudget(
            options: options, lanes: placement.lanes, interfaces: interfaces, plans: outputs.plans,
            limits: limits, fragments: fragments, openBatches: openBatches)
        self.budget = budget
        let node = options.numaNode ?? MemoryRegion.node(ofCPU: placement.lanes[0].worker.members[0])
        pool = try system { () throws(SystemError) in
            // Touching a large pool takes its time; a few segments per worker are enough to begin with.
            try SegmentPool(
                segmentBytes: options.segmentSize, count: budget.segments, pages: options.hugepages, node: node,
                ready: lanes * max(16, 4 * openBatches))
        }
        registry = try system { () throws(SystemError) in try InterfaceRegistry() }
        let destinations = outputs.plans.count + (options.canReload ? Self.additions : 0)
        ages = options.metrics == nil ? nil : AgeBoard(plans: destinations)
        counters = try system { () throws(SystemError) in
            try RunCounters(lanes: lanes, destinations: destinations)
        }
        filters = (0..<lanes).map { _ in FilterSlot() }
        gate = LinkTypeGate(
            registry: registry, expression: options.filter, divertible: options.admit.match, slots: filters)
        threads = ThreadGroup(log: console.log)
        input = InputState(workers: lanes)
        wake = try system { () throws(SystemError) in try WakeSignal() }
        metrics = try Self.metricsServer(options, own)
        files = try Self.fileServer(options, own, cpus: placement.control)
    }

    /// Places kept for destinations that are added while the run goes on, and how many may be added in all: what one that
    /// was taken out has counted stays in the account.
    static let sparePlaces = 4, additions = 32

    private static func metricsServer(_ options: RelayOptions, _ own: OwnTraffic) throws(RelayError) -> MetricsServer? {
        guard let address = options.metrics else { return nil }
        let endpoint = try Outputs.endpoint(address, option: "--metrics")
        do throws(SystemError) {
            let server = try MetricsServer(endpoint)
            _ = own.enterListener(local: server.endpoint)
            return server
        } catch {
            throw RelayError(error, option: "--metrics")
        }
    }

    /// What is said at the start: placement, memory, and where things are.
    var startLines: [String] {
        var lines = [
            "run \(identity) of \(options.name)", "threads: \(placement.description)", "checksums: \(CRC32C.method)",
        ]
        lines += interfaces.lines + budget.lines
        if let cache { lines.append(cache.line) }
        lines.append("segments lie on \(pages)")
        for plan in outputs.plans {
            if case .listen = plan.outlet { lines.append("readers may connect to \(plan.address)") }
        }
        for endpoint in files?.endpoints ?? [] {
            lines.append("serving \(options.serve?.directory ?? "") on http://\(endpoint)/")
        }
        if let metrics { lines.append("metrics at http://\(metrics.endpoint)/metrics") }
        return lines
    }

    private var pages: String {
        switch pool.pages {
        case .huge1G: "1 GiB pages"
        case .huge2M: "2 MiB pages"
        case .transparent:
            options.hugepages == .auto ? "transparent huge pages (no free 2 MiB pages)" : "transparent huge pages"
        case .auto, .off: options.hugepages == .off ? "ordinary pages" : "ordinary pages (no huge pages to be had)"
        }
    }
}

/// Runs set-up work whose failure means that the kernel refused something.
func system<Value>(_ body: () throws(SystemError) -> Value) throws(RelayError) -> Value {
    do throws(SystemError) {
        return try body()
    } catch {
        throw RelayError(.kernel, error.description)
    }
}
