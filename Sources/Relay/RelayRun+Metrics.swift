internal import Admission
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
        for row in DestinationRow.all(of: present.withLock(\.plans)) {
            sources.append(
                .init(scope: .destination, labels: [("destination", row.plan.name)], values: row.values(counters)))
        }
        let gauges: [MetricsText.Gauge] =
            admissionGauges + ageGauges + [
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

    /// How old what destinations got was.
    private var ageGauges: [MetricsText.Gauge] {
        let (rows, ages) = (DestinationRow.all(of: present.withLock(\.plans)), ages?.present ?? [:])
        func gauge(_ name: String, _ help: String, _ pair: (DestinationAges) -> DestinationAges.Pair)
            -> MetricsText.Gauge
        {
            .init(
                name, help,
                rows.compactMap { row in row.latest(ages).map { (row.plan.name, pair($0)) } }.flatMap { name, ages in
                    [("0.5", ages.p50), ("0.99", ages.p99)].compactMap { quantile, age in
                        age.map { ([("destination", name), ("quantile", quantile)], Double($0) / 1e9) }
                    }
                })
        }
        return [
            gauge(
                "age_of_information_seconds",
                "Age of the freshest packet delivered, sampled every 10 ms since the start", \.information
            ),
            gauge("age_live_seconds", "Age at delivery of what was sent from memory, since the start", \.live),
            gauge("age_replay_seconds", "Age at delivery of what was sent from disk, since the start", \.replay),
        ]
    }

    /// What admission is doing, and what it goes by.
    private var admissionGauges: [MetricsText.Gauge] {
        guard let figures = admission?.board.present else { return [] }
        func gauge(_ name: String, _ help: String, _ value: Double) -> MetricsText.Gauge {
            .init(name, help, [([], value)])
        }
        return [
            gauge("admit_n", "One in so many packets goes towards TCP", Double(figures.n)),
            gauge("admit_n_max", "The greatest such number so far", Double(figures.greatest)),
            gauge("admit_changes", "How often it has changed", Double(figures.changes)),
            gauge("ingress_bytes_per_second", "Bytes encoded, average over 0.25 s", figures.ingress),
            gauge("ingress_slow_bytes_per_second", "Bytes encoded, average over 1 s", figures.slowIngress),
            gauge("ingress_acceleration", "Growth of bytes encoded, bytes per second squared", figures.acceleration),
            gauge("drain_bytes_per_second", "What destinations take when given enough", figures.drain),
            gauge("spill_bytes_per_second", "Bytes written to the cache", figures.spill),
            gauge("occupied_bytes", "Memory that holds something unsent", Double(figures.occupied)),
        ]
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
