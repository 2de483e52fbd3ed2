import Glibc
import TestSupport
import Testing

@Suite("SIGHUP reads the configuration again")
struct ReloadTests {
    /// A run over a paced file, configured by a file that the test rewrites.
    private func withRun(
        _ first: [String],
        _ body: (_ relay: RunningRelay, _ write: ([String]) throws -> Void, _ all: [Packet]) throws -> Void
    ) throws {
        let packets = numberedPackets(0..<12_000)
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            func write(_ lines: [String]) throws {
                try writeFile("\(folder)/config.new", Array((lines.joined(separator: "\n") + "\n").utf8))
                guard unsafe rename("\(folder)/config.new", "\(folder)/config") == 0 else { throw Unexpected("rename") }
            }
            try write(first)
            let relay = try RunningRelay([
                "-r", "\(folder)/in", "--pace", "8Kpps", "--memory", "64M", "--config", "\(folder)/config",
            ])
            try body(relay, write, packets)
        }
    }

    private func to(_ collector: ReferenceCollector, _ name: String, _ more: String = "") -> String {
        "  - \"127.0.0.1:\(collector.port),name=\(name),ack=required\(more)\""
    }

    private func packets(of collector: ReferenceCollector) -> [Packet] { collector.state.packets.map(Packet.init) }

    @Test("A destination comes, one goes, one moves; the one that stays misses nothing, and the account is right")
    func destinations() throws {
        let collectors = try (0..<4).map { _ in try ReferenceCollector() }
        defer { for collector in collectors { collector.stop() } }
        try withRun(["to:", to(collectors[0], "stays"), to(collectors[1], "goes")]) { relay, write, all in
            try waitUntil("batches") { collectors[1].state.batches.count > 5 }
            try write(["to:", to(collectors[0], "stays"), to(collectors[2], "comes", ",backlog=all")])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("comes: added")
            try relay.waitFor("goes: removed")
            try waitUntil("batches") { collectors[2].state.batches.count > 5 }
            try write([
                "ack-window: 1M", "memory: 96M", "to:", to(collectors[3], "stays"),
                to(collectors[2], "comes", ",backlog=all"),
            ])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("stays: now at")
            // The command line wins over the file: memory has not changed.
            let result = try relay.finish()
            result.expect(exits: 0)
            #expect(!result.command.errorText.contains("only from the next start"))
            // The collector at the new address knows nothing of what the one at the old address has.
            // It may be sent what the other one had not acknowledged yet.
            #expect(Set(packets(of: collectors[0]) + packets(of: collectors[3])) == Set(all))
            let stays = try #require(result.report).destination("stays")
            #expect(try stays.count("delivered") == UInt64(all.count))
            let (late, early) = (Set(packets(of: collectors[2])), Set(packets(of: collectors[1])))
            #expect(late.isSubset(of: Set(all)) && early.isSubset(of: Set(all)) && early.count < all.count)
            // What came after it was added is there to the last packet.
            let first = try #require(late.map(number).min())
            #expect(Set(late.map(number)) == Set(first..<all.count))
            #expect(collectors.allSatisfy { $0.state.violations == [] })
            try expectLedger(result, guests: ["comes", "goes"])
            let report = try #require(result.report)
            let comes = try report.destination("comes")
            #expect(try comes.count("delivered") == UInt64(late.count))
            #expect(try comes.count("carried_in") + comes.count("assigned") == UInt64(late.count))
            let goes = try report.destination("goes")
            #expect(try goes.count("assigned") - goes.count("delivered") == goes.dropped["removed"])
        }
    }

    @Test("A destination that goes and comes again is one row in metrics and report, and goes on counting")
    func comesAgain() throws {
        let collectors = try (0..<2).map { _ in try ReferenceCollector() }
        defer { for collector in collectors { collector.stop() } }
        let metrics = "metrics: 127.0.0.1:0"
        let both = [metrics, "to:", to(collectors[0], "stays"), to(collectors[1], "again")]
        try withRun(both) { relay, write, all in
            try waitUntil("batches") { collectors[1].state.batches.count > 5 }
            try write([metrics, "to:", to(collectors[0], "stays")])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("again: removed")
            let early = collectors[1].state.packets.count
            try write(both)
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("again: added")
            try waitUntil("more packets") { collectors[1].state.packets.count > early + 100 }
            let port = try relay.port(after: "metrics at http://")
            let page = try run("curl", ["-sS", "--max-time", "10", "http://127.0.0.1:\(port)/metrics"]).checked()
            let series = page.outputLines.filter { !$0.hasPrefix("#") }.map { $0.prefix { $0 != " " } }
            #expect(series.contains("spillway_delivered_packets_total{destination=\"again\"}"))
            #expect(Set(series).count == series.count)
            let result = try relay.finish()
            result.expect(exits: 0)
            try expectLedger(result, guests: ["again"])
            let report = try #require(result.report)
            #expect(try report.destination("stays").count("delivered") == UInt64(all.count))
            let arrived = Set(packets(of: collectors[1]))
            #expect(arrived.isSubset(of: Set(all)))
            let again = try report.destination("again")
            // What was on its way when it was taken out may have arrived, but nobody knows.
            let (delivered, removed) = (try again.count("delivered"), again.dropped["removed"] ?? 0)
            #expect(delivered <= UInt64(arrived.count) && UInt64(arrived.count) <= delivered + removed)
            #expect(delivered > UInt64(early))
            guard case .array(let rows) = report["destinations"] else { throw Unexpected("no destinations") }
            #expect(rows.count == 2)
        }
    }

    @Test("A configuration that is wrong is refused by name, and everything stays; what cannot change is named")
    func refused() throws {
        let collectors = try (0..<2).map { _ in try ReferenceCollector() }
        defer { for collector in collectors { collector.stop() } }
        let first = ["to:", to(collectors[0], "one")]
        try withRun(first) { relay, write, all in
            try waitUntil("batches") { collectors[0].state.batches.count > 2 }
            try write(["to:", to(collectors[1], "other"), "ack-windw: 3"])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("ack-windw: no such option")
            try write(["to:", "  - \"127.0.0.1:\(collectors[0].port),name=one,ack=none\""])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("of a destination that is there only")
            try write(["name: somebody", "batch-size: 4K"] + first)
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("only from the next start on: --name, --batch-size")
            try write(first)
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("nothing has changed")
            let result = try relay.finish()
            result.expect(exits: 0)
            expectSame(packets(of: collectors[0]), all)
            #expect(collectors[1].state.connections == 0)
        }
    }

    @Test("Limits that change are named; a file that names no destination any more takes nobody out")
    func limits() throws {
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        // Without a listener a file without destinations would be wrong anyway.
        let rest = ["listen: 127.0.0.1:0", "drain-timeout: 11s"]
        let first = ["listen: 127.0.0.1:0", "to:", to(collector, "one")]
        try withRun(first) { relay, write, all in
            try waitUntil("batches") { collector.state.batches.count > 2 }
            try write(rest + first.dropFirst())
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("SIGHUP: changed: --drain-timeout")
            try write(rest)
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("no destination is named any more")
            try relay.finish().expect(exits: 0)
            expectSame(packets(of: collector), all)
        }
    }

    @Test(
        "Where destinations share: one joins and gets its part, one leaves and the others get what it was owed",
        arguments: ["round-robin", "flow"])
    func sharing(how: String) throws {
        let collectors = try (0..<3).map { _ in try ReferenceCollector() }
        defer { for collector in collectors { collector.stop() } }
        let start = ["distribute: \(how)", "reassign-after: 0", "to:"]
        // Nobody listens at the first address: all its share waits, until it is taken out.
        let absent = "  - \"127.0.0.1:1,name=absent,ack=required,share=8\""
        try withRun(start + [absent, to(collectors[0], "a"), to(collectors[1], "b")]) { relay, write, all in
            try relay.waitFor("a: acknowledges")
            try write(start + [to(collectors[0], "a"), to(collectors[1], "b"), to(collectors[2], "c", ",share=4")])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("absent: removed")
            let result = try relay.finish()
            result.expect(exits: 0)
            expectSame(collectors.flatMap(packets), all)
            #expect(collectors.allSatisfy { $0.state.violations == [] })
            if how == "round-robin" { #expect(collectors[2].state.batches.count > collectors[0].state.batches.count) }
            let report = try #require(result.report)
            #expect(try report.destination("absent").losses.isEmpty)
            try expectLedger(result, shared: true)
        }
    }

    @Test("SIGHUP to a run that has not begun waits until it has")
    func early() throws {
        try withTemporaryDirectory { folder in
            // Until somebody writes into the pipe the run is being set up.
            try run("mkfifo", ["\(folder)/in"]).checked()
            let relay = try RunningRelay(["-r", "\(folder)/in", "--to", "null"])
            let status = "/proc/\(relay.child.identifier)/status"
            try waitUntil("SIGHUP is held") {
                let lines = String(decoding: try readFile(status), as: UTF8.self).split(separator: "\n")
                let blocked = lines.first { $0.hasPrefix("SigBlk:") }?.dropFirst(7).trimmingPrefix { $0 == "\t" }
                return (blocked.flatMap { UInt64($0, radix: 16) } ?? 0) & 1 << UInt64(SIGHUP - 1) != 0
            }
            relay.child.send(signal: SIGHUP)
            let pipe = unsafe open("\(folder)/in", O_WRONLY | O_CLOEXEC)
            let capture = captureFile(numberedPackets(0..<10))
            #expect(unsafe write(pipe, capture, capture.count) == capture.count)
            try relay.waitFor("no --config to read again")
            close(pipe)
            let result = try relay.finish()
            result.expect(exits: 0)
            try expectLedger(result, captured: 10, encoded: 10)
        }
    }

    @Test("Without a configuration SIGHUP changes nothing and says so")
    func nothing() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<2000)))
            let relay = try RunningRelay(["-r", "\(folder)/in", "--pace", "4Kpps", "--to", "null"])
            try relay.waitFor("segments lie on")
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("no --config to read again")
            try relay.finish().expect(exits: 0)
        }
    }
}
