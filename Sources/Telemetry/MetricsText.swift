public import Machine

/// Metrics as text, made from the counter table: OpenMetrics 1.0, or the Prometheus text format 0.0.4 for a scraper that
/// does not ask for OpenMetrics.
public struct MetricsText: Sendable {
    /// The two forms, which differ in where `_total` stands and in the closing line.
    public enum Form: Sendable {
        case openMetrics
        case prometheus

        /// The content type of the form.
        public var contentType: String {
            switch self {
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            }
        }
    }

    /// One set of counters and the labels that tell it apart from others of its scope.
    public struct Source: Sendable {
        /// Who counts.
        public var scope: Counter.Scope
        /// Labels of every sample, in order.
        public var labels: [(String, String)]
        /// The figures.
        public var values: CounterSnapshot

        /// A source.
        public init(scope: Counter.Scope, labels: [(String, String)], values: CounterSnapshot) {
            self.scope = scope
            self.labels = labels
            self.values = values
        }
    }

    /// A figure that is not in the counter table.
    public struct Gauge: Sendable {
        /// Name without the `spillway_` prefix.
        public var name: String
        /// One line of documentation.
        public var help: String
        /// Values, each with its labels.
        public var samples: [(labels: [(String, String)], value: Double)]

        /// A gauge; `name` without the `spillway_` prefix.
        public init(_ name: String, _ help: String, _ samples: [(labels: [(String, String)], value: Double)]) {
            self.name = name
            self.help = help
            self.samples = samples
        }
    }

    private var out = ""
    private let form: Form

    /// The whole text: the counters of the table, others beside them, and gauges.
    public static func render(
        _ form: Form, sources: [Source], families others: [Family] = [], gauges: [Gauge]
    ) -> String {
        var text = MetricsText(form: form)
        for family in families() { text.append(family, sources) }
        text.append(others)
        text.append(gauges)
        return text.out
    }

    /// A counter that is not in the relay's table.
    public struct Family: Sendable {
        let name: String
        let help: String
        let samples: [(labels: [(String, String)], value: String)]

        /// A counter; `name` without the `spillway_` prefix and without `_total`.
        public init(_ name: String, _ help: String, _ samples: [(labels: [(String, String)], value: String)]) {
            self.name = name
            self.help = help
            self.samples = samples
        }
    }

    /// The whole text of a program with counters of its own.
    public static func render(_ form: Form, families: [Family], gauges: [Gauge]) -> String {
        var text = MetricsText(form: form)
        text.append(families)
        text.append(gauges)
        return text.out
    }

    private mutating func append(_ families: [Family]) {
        for family in families {
            head("spillway_" + family.name, isGauge: false, family.help)
            for entry in family.samples { sample("spillway_\(family.name)_total", entry.labels, entry.value) }
        }
    }

    private mutating func append(_ gauges: [Gauge]) {
        for gauge in gauges {
            head("spillway_" + gauge.name, isGauge: true, gauge.help)
            for value in gauge.samples { sample("spillway_" + gauge.name, value.labels, "\(value.value)") }
        }
        if form == .openMetrics { out += "# EOF\n" }
    }

    private init(form: Form) { self.form = form }

    /// Counters of one metric name belong together: drop reasons are one family.
    private static func families() -> [[Counter]] {
        var order: [String] = []
        var members: [String: [Counter]] = [:]
        for counter in Counter.allCases {
            if members[counter.entry.metric] == nil { order.append(counter.entry.metric) }
            members[counter.entry.metric, default: []].append(counter)
        }
        return order.map { members[$0]! }
    }

    private mutating func append(_ family: [Counter], _ sources: [Source]) {
        let entry = family[0].entry
        let isOfSocket = entry.report == "xdp_statistics"
        let subject = isOfSocket ? "Figures of the kernel about AF_XDP sockets" : "Packets \(entry.report)"
        let help = entry.reason == nil ? entry.help : "\(subject), by reason"
        let name = "spillway_" + entry.metric
        head(name, isGauge: entry.isGauge, help)
        for counter in family {
            for source in sources where source.scope == counter.entry.scope {
                var labels = source.labels
                if let reason = counter.entry.reason { labels.append(("reason", reason)) }
                sample(entry.isGauge ? name : name + "_total", labels, Self.value(source.values[counter], of: entry))
            }
        }
    }

    private static func value(_ count: UInt64, of entry: Counter.Entry) -> String {
        entry.metric.hasSuffix("_seconds") ? "\(Double(count) / 1e9)" : "\(count)"
    }

    private mutating func head(_ name: String, isGauge: Bool, _ help: String) {
        let family = form == .prometheus && !isGauge ? name + "_total" : name
        out += "# HELP \(family) \(help)\n# TYPE \(family) \(isGauge ? "gauge" : "counter")\n"
    }

    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: String) {
        let list = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
        out += list.isEmpty ? "\(name) \(value)\n" : "\(name){\(list)} \(value)\n"
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { out, character in
            switch character {
            case "\\": out += "\\\\"
            case "\"": out += "\\\""
            case "\n": out += "\\n"
            default: out.append(character)
            }
        }
    }
}
