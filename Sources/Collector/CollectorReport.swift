internal import Machine
internal import Synchronization
internal import Telemetry

/// The figures of a moment.
struct CollectorFigures: Sendable {
    var counts = CollectorCounts()
    var sensors: [(name: String, tally: SensorTally, runs: Int, ages: Ages)] = []
    var connections = 0, openFiles = 0
    var openBytes: UInt64 = 0
    var seconds = 0.0
    var cpu: (main: UInt64, seal: UInt64) = (0, 0)
    var isStopped = false
}

/// The present figures, for other threads.
final class PublishedFigures: Sendable {
    private let figures = Mutex(CollectorFigures())

    /// As they were published last.
    var present: CollectorFigures { figures.withLock { $0 } }

    /// Publishes figures and returns those before.
    func replace(with new: CollectorFigures) -> CollectorFigures {
        figures.withLock { figures in
            defer { figures = new }
            return figures
        }
    }
}

/// The final figures of a collector, by the names of the design's section 11.
public struct CollectorReport: Sendable {
    let figures: CollectorFigures
    /// What went wrong on the way, one line each.
    public let problems: [String]
    /// Acknowledged packets whose files could not be made.
    public let unfinishedPackets: UInt64

    private static func age(_ ages: AgeHistogram, _ share: Double) -> JSONValue {
        ages.quantile(share).map { .fraction(Double($0) / 1e6) } ?? .null
    }

    /// The report as JSON.
    public func json() -> String {
        let counts = figures.counts
        var members: [(String, JSONValue)] = [("seconds", .fraction(figures.seconds))]
        for counter in CollectorCounter.allCases where counter.entry.reason == nil {
            members.append((counter.entry.report, .number(counts[counter])))
        }
        members.append(
            (
                "refused",
                .object(
                    CollectorCounter.allCases.compactMap { counter in
                        counter.entry.reason.map { ($0, .number(counts[counter])) }
                    })
            ))
        members.append(
            (
                "sensors",
                .array(
                    figures.sensors.map { sensor in
                        .object([
                            ("name", .string(sensor.name)), ("packets", .number(sensor.tally.packets)),
                            ("bytes", .number(sensor.tally.bytes)), ("batches", .number(sensor.tally.batches)),
                            ("duplicates", .number(sensor.tally.duplicates)),
                            ("corrupt", .number(sensor.tally.corrupt)), ("files", .number(sensor.tally.files)),
                            ("connections", .number(sensor.tally.connections)), ("runs", .number(UInt64(sensor.runs))),
                            ("age_of_information_p50_ms", Self.age(sensor.ages.information, 0.5)),
                            ("age_of_information_p99_ms", Self.age(sensor.ages.information, 0.99)),
                            ("age_p50_ms", Self.age(sensor.ages.live, 0.5)),
                            ("age_p99_ms", Self.age(sensor.ages.live, 0.99)),
                        ])
                    })
            ))
        let packets = Double(max(counts[.packets], 1))
        members.append(
            (
                "cpu_ns_per_packet",
                .object([
                    ("main", .fraction(Double(figures.cpu.main) / packets)),
                    ("seal", .fraction(Double(figures.cpu.seal) / packets)),
                ])
            ))
        members.append(("problems", .array(problems.map { .string($0) })))
        return JSONValue.object(members).text()
    }

    /// The final figures for people.
    public func table() -> String {
        var rows: [(String, String)] = []
        for counter in CollectorCounter.allCases {
            let value = figures.counts[counter]
            let isAlways = [.packets, .bytes, .batches, .duplicates, .corrupt, .files].contains(counter)
            guard isAlways || value > 0 else { continue }
            let entry = counter.entry
            rows.append((entry.reason.map { "refused{\($0)}" } ?? entry.report, "\(value)"))
        }
        for sensor in figures.sensors {
            let tally = sensor.tally
            rows.append(("sensor \(sensor.name)", "\(tally.packets) packets, \(tally.files) files"))
        }
        let width = rows.map(\.0.count).max() ?? 0
        let seconds = Double(UInt64(figures.seconds * 1000)) / 1000
        return
            (["collected for \(seconds) s"]
            + rows.map { "  " + $0.0 + String(repeating: " ", count: width - $0.0.count + 2) + $0.1 })
            .joined(separator: "\n")
    }
}
