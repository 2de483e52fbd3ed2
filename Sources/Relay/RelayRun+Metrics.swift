internal import Egress
internal import Pcapng
internal import SegmentPool
internal import Machine
internal import Telemetry

extension RelayRun {
    /// The present figures as metrics.
    func metricsText(_ form: MetricsText.Form) -> String {
        var sources: [MetricsText.Source] = []
        for (number, name) in inputNames.enumerated() {
            let labels = [("input", name)]
            sources.append(.init(scope: .worker, labels: labels, values: counters.workers[number].snapshot()))
            sources.append(.init(scope: .capture, labels: labels, values: counters.captures[number].snapshot()))
        }
        for (number, plan) in outputs.plans.enumerated() {
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
            .init(
                "build_info", "What is running",
                [([("run", identity.description), ("sensor", options.name)], 1)]),
        ]
        return MetricsText.render(form, sources: sources, gauges: gauges)
    }

    private var inputNames: [String] {
        options.isLive ? options.inputs.map(\.label) : ["file"]
    }
}
