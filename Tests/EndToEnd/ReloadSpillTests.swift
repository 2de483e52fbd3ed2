import Glibc
import TestSupport
import Testing

@Suite("Destinations that come, go and die in a run with a cache")
struct ReloadSpillTests {
    private let packets = numberedPackets(0..<24_000, size: 1000)

    /// A run that reads its input from the test and its destinations from a file that the test rewrites; nearly all of the
    /// first packets are on disk when `body` begins.
    private func withRun(
        _ first: [String], fed count: Int, _ more: [String] = [],
        _ body: (_ relay: RunningRelay, _ write: ([String]) throws -> Void, _ feed: (Int) throws -> Void) throws -> Void
    ) throws {
        try withTemporaryDirectory { folder in
            func write(_ lines: [String]) throws {
                try writeFile("\(folder)/config.new", Array((lines.joined(separator: "\n") + "\n").utf8))
                guard unsafe rename("\(folder)/config.new", "\(folder)/config") == 0 else { throw Unexpected("rename") }
            }
            try write(first)
            let relay = try RunningRelay(
                [
                    "-r", "-", "--config", "\(folder)/config", "--spill", "\(folder)/cache", "--sync", "none",
                    "--memory",
                    "96M", "--memory-age", "100ms",
                ] + more)
            var fed = 0
            func feed(_ upTo: Int) throws {
                // Behind the first part only the records.
                let bytes = captureFile(Array(packets[fed..<upTo]))
                try relay.child.writeInput(fed == 0 ? bytes : Array(bytes.dropFirst(24)))
                fed = upTo
                if fed == packets.count { relay.child.closeInput() }
            }
            try feed(count)
            try waitForQuietCache("\(folder)/cache", bytes: count * 700)
            try body(relay, write, feed)
        }
    }

    private func to(_ port: UInt16, _ name: String, _ more: String = "") -> String {
        "  - \"127.0.0.1:\(port),name=\(name),ack=required\(more)\""
    }

    private func packets(of collector: ReferenceCollector) -> [Packet] { collector.state.packets.map(Packet.init) }

    @Test("One that is added with backlog=all gets what lies on disk, one without what comes from then on")
    func added() throws {
        let (all, now) = (try ReferenceCollector(), try ReferenceCollector())
        defer { for collector in [all, now] { collector.stop() } }
        try withRun(["to:", to(1, "dead")], fed: 16_000, ["--drain-timeout", "1s"]) { relay, write, feed in
            try write(["to:", to(1, "dead"), to(all.port, "all", ",backlog=all"), to(now.port, "now")])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("now: added")
            try relay.waitFor("now: acknowledges")
            try feed(packets.count)
            let result = try relay.finish()
            result.expect(exits: 69, naming: ["dead"])
            let report = try expectLedger(result, captured: packets.count, guests: ["all", "now"])
            expectSame(packets(of: all), packets, "all")
            // Whatever came after it was added, and nothing of before but what was in a batch with that.
            let late = Set(packets(of: now))
            #expect(late.isSuperset(of: packets[16_000...]) && late.isSubset(of: packets))
            #expect(try report.destination("all").count("carried_in") >= 16_000 - UInt64(late.count - 8000))
            #expect(try report.destination("all").count("replayed") > 10_000)
            #expect(try report.destination("now").count("carried_in") == 0)
            #expect(try report.destination("dead").count("on_disk") == UInt64(packets.count))
            #expect((all.state.violations + now.state.violations).isEmpty && all.state.duplicates == 0)
        }
    }

    @Test("One that is removed and added again by its name, with backlog=all, is sent what it has not got, and no more")
    func again() throws {
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        try withRun(["to:", to(1, "dead"), to(collector.port, "a")], fed: 12_000, ["--drain-timeout", "1s"]) {
            relay, write, feed in
            try waitUntil("the first packets") { collector.state.packets.count == 12_000 }
            try write(["to:", to(1, "dead")])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("a: removed")
            try feed(18_000)
            try write(["to:", to(1, "dead"), to(collector.port, "a", ",backlog=all")])
            relay.child.send(signal: SIGHUP)
            try relay.waitFor("a: added")
            try feed(packets.count)
            let result = try relay.finish()
            result.expect(exits: 69, naming: ["dead"])
            try expectLedger(result, captured: packets.count, guests: ["a"])
            expectSame(packets(of: collector), packets)
            #expect(collector.state.violations == [] && collector.state.duplicates == 0)
        }
    }

    @Test("One that was added without backlog=all is not told that what is there never comes; later it may get all")
    func withBacklogLater() throws {
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        try withRun(["to:", to(1, "dead")], fed: 12_000, ["--drain-timeout", "1s"]) { relay, write, feed in
            func reload(_ lines: [String], until text: String, times: Int = 1) throws {
                try write(["to:", to(1, "dead")] + lines)
                relay.child.send(signal: SIGHUP)
                try relay.waitFor(text, times: times)
            }
            try reload([to(collector.port, "b")], until: "b: acknowledges")
            try reload([], until: "b: removed")
            try reload([to(collector.port, "b", ",backlog=all")], until: "b: acknowledges", times: 2)
            try feed(packets.count)
            let result = try relay.finish()
            result.expect(exits: 69, naming: ["dead"])
            expectSame(packets(of: collector), packets)
            #expect(collector.state.violations == [] && collector.state.duplicates == 0)
            // All of it waits for the dead one all the time, so that nothing below a mark may be left out.
            var lists = 0
            for case .ranges(let list) in collector.state.controls where list.kind == .owed && list.mark > 0 {
                #expect(list.ranges == [0..<list.mark])
                lists += 1
            }
            #expect(lists >= 2)
        }
    }

    @Test("What lies on disk for one that is gone for long is sent to the others, each batch to one of them")
    func reassigned() throws {
        let port = try freePort()
        let lines = [
            "distribute: round-robin", "reassign-after: 300ms", "to:", to(1, "gone", ",share=3"),
            to(port, "heir"),
        ]
        // Nobody is there yet, so that nobody takes over and everything goes to disk.
        try withRun(lines, fed: packets.count, ["--drain-timeout", "30s"]) { relay, _, _ in
            let heir = try ReferenceCollector(port: port)
            defer { heir.stop() }
            let result = try relay.finish()
            result.expect(exits: 0)
            expectSame(packets(of: heir), packets)
            let report = try expectLedger(result, captured: packets.count, shared: true)
            let gone = try report.destination("gone")
            #expect(try gone.count("handed_over") == gone.count("assigned") && gone.count("on_disk") == 0)
            #expect(try gone.count("assigned") > 10_000)
            #expect(try report.destination("heir").count("taken_over") == gone.count("assigned"))
            #expect(heir.state.violations == [] && heir.state.duplicates == 0)
        }
    }
}
