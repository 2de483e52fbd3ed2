internal import Admission
internal import Capture
internal import Egress
internal import Synchronization
internal import Glibc
internal import Machine
internal import Pcapng

/// The control loop: signals, time, the status line. It runs on the main thread until all others have ended.
extension RelayRun {
    /// Watches over the run until its threads are over.
    func watch(_ signals: borrowing SignalWatch) {
        var status = StatusLine(console.progress, isLive: options.isLive)
        var nextUpkeep = Clock.monotonic()
        while !threads.isOver {
            if Clock.monotonic() >= nextUpkeep {
                // Old entries of our own connections go, and addresses that the machine got meanwhile come in.
                own.expire()
                own.refreshAddresses()
                interfaces.refresh()
                nextUpkeep = Clock.monotonic() + 5_000_000_000
            }
            switch signals.wait(milliseconds: 20) {
            case .some(SIGHUP): reload()
            case .some where stop.isSet:
                console.log("second signal: ending at once")
                abort.set()
            case .some(let signal):
                console.log("\(signal == SIGINT ? "SIGINT" : "SIGTERM"): ending, a second signal ends at once")
                stop.set()
                told.set()
            case nil: break
            }
            if let duration = options.duration, Clock.monotonic() - started >= duration { stop.set() }
            status.update(counters.snapshot(), progress.state)
        }
        status.clear()
    }

    /// What happened, after all threads have ended.
    func finish() -> RunReport {
        var report = RunReport()
        let (problems, outcomes) = results.withLock { $0 }
        report.run = identity.description
        report.seconds = Double(Clock.monotonic() - started) / 1e9
        report.totals = counters.snapshot()
        report.waits = !options.isLive && !told.isSet
        report.isMerged = placement.lanes.allSatisfy(\.isMerged)
        report.inputs =
            options.isLive
            ? interfaces.names.indices.map(inputReport)
            : [
                RunReport.Input(
                    name: options.inputs.map(\.label).joined(separator: " "), mode: "file", tap: "none",
                    values: counters.captures[0].snapshot())
            ]
        let byPlan = Dictionary(outcomes.map { ($0.plan, $0) }) { first, _ in first }
        report.destinations = DestinationRow.all(of: present.withLock(\.plans)).map { row in
            (row.plan, row.values(counters), row.latest(byPlan))
        }
        report.memoryPeak = ProcessMemory.peak()
        report.admission = admission?.board.present
        report.cpu = ThreadGroup.Stage.allCases.map { ($0.rawValue, threads.cpu($0)) }
        report.judge(problems)
        return report
    }

    /// Interface statistics for the streams: live inputs have one interface each; of files only a single one is told,
    /// because the counts are those of the whole input.
    func interfaceStatistics() -> [(interface: UInt32, bytes: [UInt8])] {
        guard options.isLive || registry.view.count == 1 else { return [] }
        let now = Clock.monotonic() &+ utcOffset
        return (0..<max(interfaces.names.count, 1)).map { place in
            let (capture, worker) = counters.snapshot(lanes: lanes(ofInterface: place))
            var counts = StreamBlocks.Statistics()
            counts.received = capture[.captured]
            counts.dropped = capture.sum("dropped", scope: .capture) - capture[.droppedRing]
            counts.accepted = worker[.received] - worker.sum("filtered", scope: .worker)
            counts.systemDropped = capture[.droppedRing] + worker[.droppedPoolFull]
            counts.delivered = worker[.encoded]
            let bytes = StreamBlocks.statistics(
                interface: UInt32(place), time: now, start: started &+ utcOffset, counts)
            return (UInt32(place), bytes)
        }
    }

    /// The lanes of an interface; of files the only one.
    private func lanes(ofInterface place: Int) -> [Int] {
        options.isLive ? interfaces.lanes.indices.filter { interfaces.lanes[$0].interface == place } : [0]
    }

    private func inputReport(_ place: Int) -> RunReport.Input {
        let lanes = lanes(ofInterface: place)
        let (rung, tap, clock) = interfaces.mode(place)
        var input = RunReport.Input(
            name: interfaces.names[place], mode: rung, tap: tap, clock: clock,
            values: counters.snapshot(lanes: lanes).captures)
        input.queues = lanes.compactMap { lane in
            interfaces.lanes[lane].queue.map { ($0.number, counters.captures[lane].snapshot()) }
        }
        return input
    }
}

extension RelayOptions.Input {
    /// The name it goes by in the report.
    var label: String {
        switch self {
        case .interface(let name, _): name
        case .file(let path): path
        }
    }
}

extension RunReport {
    /// Decides how the run ended: bad input first, then what could not be written, then who was not there.
    mutating func judge(_ inputProblems: [RelayError]) {
        problems = inputProblems.map(\.message)
        var codes = inputProblems.map(\.code)
        for one in destinations {
            if let failure = one.outcome?.fileFailure, failure != 0 {
                problems.append(
                    "-w \(SystemError("write", one.plan.address, code: failure)), packets are missing from it")
                codes.append(.inputOutput)
            }
            let waiting = one.values[.onDisk]
            if waits, waiting > 0 {
                problems.append("--to \(one.plan.name): made no progress, \(waiting) packets wait in the cache for it")
                codes.append(.unavailable)
            }
            let lost = one.values[.droppedUnreachable]
            if lost > 0 {
                problems.append("--to \(one.plan.name): made no progress, \(lost) packets were not delivered")
                codes.append(.unavailable)
            }
        }
        exit = codes.first ?? .done
    }
}
