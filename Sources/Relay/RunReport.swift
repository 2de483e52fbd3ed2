internal import Admission
internal import Egress
internal import Machine
internal import Pcapng
internal import Telemetry

/// The final figures of a run, by the names of the design's section 11.
public struct RunReport: Sendable {
    /// How the run ended.
    public internal(set) var exit = ExitCode.done
    /// What went wrong on the way, one line each.
    public internal(set) var problems: [String] = []

    var run = ""
    var seconds = 0.0
    var totals = CounterSnapshot()
    var inputs: [Input] = []
    var destinations: [(plan: DestinationPlan, values: CounterSnapshot, outcome: DestinationOutcome?)] = []
    /// Whether all that is owed was to be delivered in this run: files were read, and nobody asked it to end.
    var waits = false
    var isMerged = false
    var memoryPeak: UInt64 = 0
    /// What admission did last; nil where it is off.
    var admission: AdmissionFigures?
    var cpu: [(stage: String, nanoseconds: UInt64)] = []

    /// What one interface, or all files together, gave.
    struct Input: Sendable {
        var name: String
        /// The rung of the capture ladder.
        var mode: String
        var tap: String
        /// Whose clock stamps packets.
        var clock = "file"
        var values: CounterSnapshot
        /// With AF_XDP its receive queues.
        var queues: [(number: UInt32, values: CounterSnapshot)] = []
    }

    /// Packets between capture and worker.
    var inRing: UInt64 {
        let gone = totals[.received] + totals.sum("dropped", scope: .capture)
        return totals[.captured] >= gone ? totals[.captured] - gone : 0
    }

    /// The report as JSON.
    public func json() -> String { value.text() }

    private var value: JSONValue {
        func number(_ counter: Counter) -> (String, JSONValue) { (counter.entry.report, .number(totals[counter])) }
        return .object([
            ("run", .string(run)), ("seconds", .fraction(seconds)), number(.captured), number(.received),
            number(.receivedBytes), number(.merged), number(.reassembled), number(.inWorker), number(.encoded),
            number(.encodedBytes), number(.batches), number(.cutPackets),
            number(.fragments), number(.atomicFragments), number(.tinyFragments), number(.duplicateFragments),
            number(.overlappedDatagrams), number(.handedOn), number(.reassemblyTime), number(.longestReassembly),
            ("unassembled", Self.reasons("unassembled", [.worker], totals)),
            ("filtered", Self.reasons("filtered", [.worker], totals)), number(.passed), number(.otherQueues),
            number(.unmatched),
            ("in_ring", .number(inRing)), ("dropped", Self.reasons("dropped", [.capture, .worker], totals)),
            number(.diverted), ofDestinations(.spilled), ofDestinations(.replayed),
            ("admit_n_max", .number(UInt64(admission?.greatest ?? 1))),
            ("admit_changes", .number(admission?.changes ?? 0)), ("memory_peak_bytes", .number(memoryPeak)),
            ("capture", capture),
            ("destinations", .array(destinations.map(Self.destination))), ("cpu_ns_per_packet", cpuPerPacket),
        ])
    }

    /// A figure of destinations, all of them together.
    private func ofDestinations(_ counter: Counter) -> (String, JSONValue) {
        (counter.entry.report, .number(destinations.reduce(0) { $0 + $1.values[counter] }))
    }

    private var capture: JSONValue {
        .object([
            (
                "interfaces",
                .array(
                    inputs.map { input in
                        .object([
                            ("name", .string(input.name)), ("mode", .string(input.mode)), ("tap", .string(input.tap)),
                            ("captured", .number(input.values[.captured])), ("clock", .string(input.clock)),
                            ("dropped", Self.reasons("dropped", [.capture], input.values)),
                            ("queues", .array(input.queues.map(Self.queue))),
                        ])
                    })
            )
        ])
    }

    private static func queue(_ queue: (number: UInt32, values: CounterSnapshot)) -> JSONValue {
        .object([
            ("queue", .number(UInt64(queue.number))), ("captured", .number(queue.values[.captured])),
            ("passed", .number(queue.values[.passed])), ("unmatched", .number(queue.values[.unmatched])),
            ("card_stamped", .number(queue.values[.cardStamped])),
            ("xdp_statistics", Self.reasons("xdp_statistics", [.capture], queue.values)),
            ("dropped", Self.reasons("dropped", [.capture], queue.values)),
        ])
    }

    private var cpuPerPacket: JSONValue {
        let packets = max(totals[.received], 1)
        let stages = cpu.map { ($0.stage, JSONValue.fraction(Double($0.nanoseconds) / Double(packets))) }
        // In one thread there is one figure for both; it stands under capture.
        return .object(stages + [("capture_includes_worker", .bool(isMerged))])
    }

    private static func reasons(_ report: String, _ scopes: [Counter.Scope], _ values: CounterSnapshot) -> JSONValue {
        .object(
            Counter.allCases.compactMap { counter in
                let entry = counter.entry
                guard entry.report == report, scopes.contains(entry.scope), let reason = entry.reason else {
                    return nil
                }
                return (reason, .number(values[counter]))
            })
    }

    private static func destination(
        _ one: (plan: DestinationPlan, values: CounterSnapshot, outcome: DestinationOutcome?)
    ) -> JSONValue {
        let ages = one.outcome?.ages ?? DestinationAges()
        func age(_ nanoseconds: UInt64?) -> JSONValue { nanoseconds.map { .fraction(Double($0) / 1e6) } ?? .null }
        let simple = Counter.allCases.filter { $0.entry.scope == .destination && $0.entry.reason == nil }
        return .object(
            [
                ("name", .string(one.plan.name)), ("address", .string(one.plan.address)),
                ("up", .bool(one.outcome?.wasUp ?? true)),
            ] + simple.map { ($0.entry.report, .number(one.values[$0])) } + [
                ("dropped", reasons("dropped", [.destination], one.values)),
                ("age_of_information_p50_ms", age(ages.information.p50)),
                ("age_of_information_p99_ms", age(ages.information.p99)),
                ("age_live_p50_ms", age(ages.live.p50)), ("age_live_p99_ms", age(ages.live.p99)),
                ("age_replay_p50_ms", age(ages.replay.p50)), ("age_replay_p99_ms", age(ages.replay.p99)),
            ])
    }
}
