internal import Machine
internal import Telemetry

extension CollectorLoop {
    /// Serves the figures if that was asked for.
    func serveMetrics() throws(CollectorError) {
        guard let endpoint = options.metrics else { return }
        do throws(SystemError) {
            let server = try MetricsServer(endpoint)
            let figures = published
            try server.start { form in CollectorMetrics.text(form, figures.present) }
            log("metrics at http://\(server.endpoint)/metrics")
        } catch {
            throw .cannotListen(error)
        }
    }
}

/// The figures of a collector as metrics.
enum CollectorMetrics {
    static func text(_ form: MetricsText.Form, _ figures: CollectorFigures) -> String {
        var families: [MetricsText.Family] = []
        for counter in CollectorCounter.allCases where counter.entry.reason == nil {
            families.append(
                MetricsText.Family(
                    "collect_" + counter.entry.metric, counter.entry.help,
                    [([], "\(figures.counts[counter])")]))
        }
        families.append(
            MetricsText.Family(
                "collect_refused_connections", "Connections ended by the collector, by reason",
                CollectorCounter.allCases.compactMap { counter in
                    counter.entry.reason.map { ([("reason", $0)], "\(figures.counts[counter])") }
                }))
        let perSensor: [(String, String, (SensorTally) -> UInt64)] = [
            ("packets", "Packets accepted, by sensor", { $0.packets }),
            ("bytes", "Bytes of accepted batches, by sensor", { $0.bytes }),
            ("duplicates", "Batches that were there already, by sensor", { $0.duplicates }),
            ("files", "Finished files, by sensor", { $0.files }),
        ]
        for (name, help, value) in perSensor {
            families.append(
                MetricsText.Family(
                    "collect_sensor_" + name, help,
                    figures.sensors.map { ([("sensor", $0.name)], "\(value($0.tally))") }))
        }
        let gauges: [MetricsText.Gauge] = [
            .init("collect_open_connections", "Connections at present", [([], Double(figures.connections))]),
            .init("collect_journal_files", "Files of the journal at present", [([], Double(figures.openFiles))]),
            .init("collect_journal_bytes", "Bytes of the journal at present", [([], Double(figures.openBytes))]),
            .init(
                "collect_storage_stopped", "Whether acknowledging is stopped because the disk is full",
                [([], figures.isStopped ? 1 : 0)]),
        ]
        return MetricsText.render(form, families: families, gauges: gauges)
    }
}
