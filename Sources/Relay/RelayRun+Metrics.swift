internal import Egress
internal import FileService
internal import Pcapng
internal import SegmentPool
internal import Machine
internal import Synchronization
internal import Telemetry

extension RelayRun {
    /// The present figures as metrics.
    func metricsText(_ form: MetricsText.Form) -> String {
        var sources: [MetricsText.Source] = []
        for (number, labels) in laneLabels.enumerated() {
            sources.append(.init(scope: .worker, labels: labels, values: counters.workers[number].snapshot()))
            sources.append(.init(scope: .capture, labels: labels, values: counters.captures[number].snapshot()))
        }
        for (number, plan) in present.withLock(\.plans).enumerated() {
            sources.append(
                .init(
                    scope: .destination, labels: [("destination", plan.name)],
                    values: counters.destinations[number].snapshot()))
        }
        let gauges: [MetricsText.Gauge] = [
            .init(
                "memory_budget_bytes", "Memory the run was given, by what it is for",
                budget.terms.map { ([("purpose", $0.reason)], Double($0.bytes)) }),
            .init("segments", "Segments of the pool", [([], Double(pool.count))]),
            .init("thread_info", "Which thread serves what", threadLabels.map { ($0, 1) }),
            .init(
                "build_info", "What is running",
                [([("run", identity.description), ("sensor", options.name)], 1)]),
        ]
        return MetricsText.render(
            form, sources: sources, families: files?.metricFamilies ?? [],
            gauges: gauges + (files?.metricGauges ?? []))
    }

    /// The threads of the packets' path by the names that the kernel knows, as tools/profile needs them.
    private var threadLabels: [[(String, String)]] {
        zip(placement.lanes, laneLabels).enumerated().flatMap { number, lane in
            let (place, labels) = lane
            func thread(_ name: String, _ stage: String, _ cpus: CPUSet) -> [(String, String)] {
                [("thread", "\(name)-\(number)"), ("stage", stage)] + labels + [("cpus", "\(cpus)")]
            }
            return place.isMerged
                ? [thread("capture", "capture+worker", place.capture)]
                : [thread("capture", "capture", place.capture), thread("worker", "worker", place.worker)]
        }
    }

    /// What tells the lanes apart.
    private var laneLabels: [[(String, String)]] {
        guard options.isLive else { return [[("input", "file")]] }
        return interfaces.lanes.map { lane in
            let name = ("input", interfaces.names[lane.interface])
            return lane.queue.map { [name, ("queue", "\($0.number)")] } ?? [name]
        }
    }
}
