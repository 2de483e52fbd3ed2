import TestSupport
import Testing

@Suite("Metrics and reports")
struct MetricsTests {
    private func fetch(_ port: UInt16, _ arguments: [String] = []) throws -> String {
        try run("curl", ["-sS", "--max-time", "10"] + arguments + ["http://127.0.0.1:\(port)/metrics"]).checked()
            .outputText
    }

    /// Samples by name and labels.
    private func samples(_ text: String) -> [String: Double] {
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        return Dictionary(
            lines.compactMap { line in
                line.lastIndex(of: " ").flatMap { space in
                    Double(line[line.index(after: space)...]).map { (String(line[..<space]), $0) }
                }
            }, uniquingKeysWith: { first, _ in first })
    }

    @Test("promtool accepts the text, and its values are those of the report")
    func metrics() throws {
        for tool in ["curl", "promtool"] { try requireTool(tool) }
        try withTemporaryDirectory { folder in
            let reader = try Reader()
            let packets = numberedPackets(0..<400)
            let running = try RunningRelay(
                ["-r", "-", "-c", "300", "-f", "udp[11] & 1 == 0", "--metrics", "127.0.0.1:0", "-w", "\(folder)/out"]
                    + ["--to", "\(reader.address),name=it", "--to", "null", "--listen", "127.0.0.1:0"])
            let port = try running.port(after: "metrics at http://")
            try running.child.writeInput(captureFile(packets))
            var last = ""
            try waitUntil("200 packets delivered") {
                last = try fetch(port)
                return samples(last)["spillway_delivered_packets_total{destination=\"it\"}"] == 200
            }
            let checked = try run("promtool", ["check", "metrics"], input: Array(last.utf8))
            // It recommends things by its own taste; what it refuses is an exit code.
            #expect(checked.status == .exited(0), "\(checked.outputText)\(checked.errorText)")
            let open = try fetch(port, ["-H", "Accept: application/openmetrics-text; version=1.0.0"])
            #expect(open.hasSuffix("# EOF\n"))
            // Processor time goes on between the two.
            func steady(_ text: String) -> [String: Double] { samples(text).filter { !$0.key.contains("seconds") } }
            #expect(steady(open) == steady(last))
            let types = try run(
                "curl",
                ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{content_type}"]
                    + ["http://127.0.0.1:\(port)/metrics"]
            ).checked().outputText
            #expect(types == "200 text/plain; version=0.0.4; charset=utf-8")
            #expect(
                try run("curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:\(port)/"])
                    .checked().outputText == "404")
            running.child.closeInput()
            let result = try running.finish()
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 400, encoded: 200)
            try compare(samples(last), with: report)
        }
    }

    /// Nothing moved after the last look, so everything must be equal.
    private func compare(_ found: [String: Double], with report: Report) throws {
        let input = "{input=\"file\"}"
        for (metric, name) in [
            ("captured_packets_total", "captured"), ("received_packets_total", "received"),
            ("received_bytes_total", "received_bytes"), ("encoded_packets_total", "encoded"),
            ("encoded_bytes_total", "encoded_bytes"), ("batches_total", "batches"),
            ("worker_packets", "in_worker"),
        ] {
            #expect(try found["spillway_\(metric)\(input)"] == Double(report.count(name)), "\(metric)")
        }
        for (reason, count) in report.reasons("filtered") {
            let name = "spillway_filtered_packets_total{input=\"file\",reason=\"\(reason)\"}"
            #expect(found[name] == Double(count), "\(name)")
        }
        for (reason, count) in report.reasons("dropped") {
            let name = "spillway_dropped_packets_total{input=\"file\",reason=\"\(reason)\"}"
            #expect(found[name] == Double(count), "\(name)")
        }
        for destination in report.destinations {
            let label = "destination=\"\(destination.name)\""
            for (metric, name) in [
                ("assigned_packets_total", "assigned"), ("delivered_packets_total", "delivered"),
                ("delivered_bytes_total", "delivered_bytes"), ("memory_packets", "in_memory"),
                ("connects_total", "connects"),
            ] {
                #expect(
                    try found["spillway_\(metric){\(label)}"] == Double(destination.count(name)), "\(label) \(metric)")
            }
            for (reason, count) in destination.dropped {
                let name = "spillway_destination_dropped_packets_total{\(label),reason=\"\(reason)\"}"
                #expect(found[name] == Double(count), "\(name)")
            }
        }
    }

    @Test("--report - is JSON alone on standard output, and FILE has the same members")
    func report() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<100)))
            let result = try relay(["-r", "\(folder)/in", "--to", "null", "--report", "-"])
            result.expect(exits: 0)
            let printed = RelayResult(command: result.command, report: try Report(result.command.output))
            let report = try expectLedger(printed, captured: 100, encoded: 100)
            for name in ["run", "seconds", "memory_peak_bytes", "capture", "cpu_ns_per_packet", "passed", "batches"] {
                #expect(report[name] != nil, "\(name)")
            }
            #expect(try report.count("received_bytes") == 20_000)
            let toFile = try relay(["-r", "\(folder)/in", "--to", "null", "--report", "\(folder)/report"])
            toFile.expect(exits: 0)
            #expect(toFile.command.output.isEmpty)
            try expectLedger(
                RelayResult(command: toFile.command, report: Report(readFile("\(folder)/report"))), captured: 100,
                encoded: 100)
        }
    }
}
