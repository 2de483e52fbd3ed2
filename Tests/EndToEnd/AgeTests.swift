import Glibc
import TestSupport
import Testing

@Suite("How old what arrives is", .serialized)
struct AgeTests {
    private static let quantiles = ["0.5": "p50", "0.99": "p99"]

    /// The ages in the metrics, seconds, by the names they have in the report.
    private func ages(
        _ space: NetworkNamespace, _ running: RunningRelay, of destination: String = "it"
    ) throws -> [String: Double] {
        let port = try running.port(after: "metrics at http://")
        let command = space.inside("curl", ["-sS", "--max-time", "20", "http://127.0.0.1:\(port)/metrics"])
        var ages: [String: Double] = [:]
        for line in try run(command.tool, command.arguments).checked().outputText.split(separator: "\n") {
            for kind in ["age_of_information", "age_live", "age_replay"] {
                for (quantile, name) in Self.quantiles {
                    let start = "spillway_\(kind)_seconds{destination=\"\(destination)\",quantile=\"\(quantile)\"} "
                    guard line.hasPrefix(start) else { continue }
                    ages["\(kind)_\(name)_ms"] = Double(line.dropFirst(start.count))
                }
            }
        }
        return ages
    }

    @Test("The ages in the metrics are those of the report: of information, live, and out of the cache")
    func metrics() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let reader = try space.reader(.stalled, receiveBuffer: 16_384)
                let begin = ContinuousClock.now
                let running = try space.relay([
                    "-i", "right", "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache", "--sync", "none",
                    "--segment-size", "512K", "--admit", "4", "--metrics", "127.0.0.1:0",
                ])
                try waitUntil("admission") { try SoakFigures(space, running).sum("admit_n") == 4 }
                try space.send(0..<4000, size: 1000)
                try waitUntil("some to be on disk") { try SoakFigures(space, running).sum("disk_packets", "it") > 0 }
                reader.set(.reading)
                try waitUntil("4000 packets delivered") {
                    try SoakFigures(space, running).sum("delivered_packets_total", "it") == 4000
                }
                // What is published from here on has all deliveries in it, and the freshest packet grows old.
                let before = try ages(space, running)["age_of_information_p99_ms"] ?? 0
                var last: [String: Double] = [:]
                try waitUntil("the last packet to have become a second old") {
                    usleep(50_000)
                    last = try ages(space, running)
                    return last["age_of_information_p99_ms"] ?? 0 > max(before, 1)
                }
                let elapsed = (ContinuousClock.now - begin) / .seconds(1)
                let result = try stop(running)
                result.expect(exits: 0)
                let it = try expectLedger(result).destination("it").tree
                #expect(last.count == 6)
                for (name, age) in last {
                    guard case .number(let reported)? = it[name] else { throw Unexpected("\(name) in \(it)") }
                    // A quantile is at most 6 % above what was measured.
                    #expect(0 < age && age <= elapsed * 1.07, "\(name): \(age) s of \(elapsed)")
                    if name.hasPrefix("age_of_information") {
                        // It went on growing until the end.
                        #expect(age * 1000 <= reported + 0.001, "\(name): \(age) s and \(reported) ms")
                    } else {
                        #expect(abs(age * 1000 - reported) < 0.001, "\(name): \(age) s and \(reported) ms")
                    }
                }
            }
        }
    }

    @Test("What a destination has gets older while it is down")
    func down() throws {
        try withNetworkNamespace { space in
            let collector = try space.enter { try ReferenceCollector() }
            let running = try space.relay([
                "-i", "right", "--to", "127.0.0.1:\(collector.port),name=it,ack=required", "--metrics", "127.0.0.1:0",
                "--drain-timeout", "1s",
            ])
            try running.waitFor("it: acknowledges")
            try space.send(0..<100)
            try waitUntil("all of it to be there") {
                usleep(20_000)
                return try SoakFigures(space, running).sum("delivered_packets_total", "it") == 100
            }
            collector.stop()
            try space.send(100..<200)
            try running.waitFor("trying again")
            try waitUntil("a second of age") {
                usleep(50_000)
                return try ages(space, running, of: "it")["age_of_information_p99_ms"] ?? 0 > 1
            }
            let result = try stop(running)
            let destination = try expectLedger(result).destination("it").tree
            guard case .number(let age)? = destination["age_of_information_p99_ms"] else { throw Unexpected("no age") }
            #expect(age > 1000)
        }
    }

    @Test("All readers of a listener count together, in the metrics and in the report")
    func listener() throws {
        try withNetworkNamespace { space in
            let running = try space.relay(["-i", "right", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            let port = try running.port()
            let name = "listen:127.0.0.1:\(port)"
            func deliver(_ sent: Range<Int>, to guest: Guest) throws {
                try space.send(sent)
                try guest.read { numbers(inBlocks: $0).contains(sent.upperBound - 1) }
            }
            let first = try space.enter { try Guest(port: port) }
            try running.waitFor("reader 127.0.0.1")
            try deliver(0..<100, to: first)
            // What the first one has grows old, and all that is known of age is this.
            try waitUntil("the first reader's to have become half a second old") {
                usleep(50_000)
                return try ages(space, running, of: name)["age_of_information_p50_ms"] ?? 0 > 0.5
            }
            let before = try #require(try ages(space, running, of: name)["age_live_p99_ms"])
            let second = try space.enter { try Guest(port: port) }
            try running.waitFor("reader 127.0.0.1", times: 2)
            try deliver(100..<200, to: second)
            let result = try stop(running)
            result.expect(exits: 0)
            let destination = try expectLedger(result).destination(name).tree
            guard case .number(let live)? = destination["age_live_p99_ms"],
                case .number(let information)? = destination["age_of_information_p99_ms"]
            else { throw Unexpected("no ages in \(destination)") }
            // Both readers' are in it: neither the first one's time in which nothing came is lost, nor its deliveries.
            #expect(information >= 500 && live >= before * 1000 * 0.5)
        }
    }
}
