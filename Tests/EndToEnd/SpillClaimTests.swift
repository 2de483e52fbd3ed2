import Glibc
import TestSupport
import Testing

@Suite("Who is owed what of a cache, from one life to the next")
struct SpillClaimTests {
    /// A cache of the packets 0 to 2,999 that a run has left, owed to destinations that were never there.
    private func withCache(of names: [String], _ body: (_ folder: String) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            for (name, numbers) in [("old", 0..<3000), ("new", 30_000..<30_010), ("newer", 40_000..<40_010)] {
                try writeFile("\(folder)/\(name)", captureFile(numberedPackets(numbers)))
            }
            try life(folder, "old", names.map { dead($0) }).expect(exits: 69)
            #expect(try Set(packetsOnDisk("\(folder)/cache").map { number(of: $0) }) == Set(0..<3000))
            try body(folder)
        }
    }

    private func dead(_ name: String, _ more: String = "") -> String { "127.0.0.1:1,name=\(name),ack=required\(more)" }

    private func to(_ collector: ReferenceCollector, _ name: String, _ more: String = "") -> String {
        "127.0.0.1:\(collector.port),name=\(name),ack=required\(more)"
    }

    private func arguments(_ folder: String, _ input: String, _ destinations: [String]) -> [String] {
        ["-r", input == "-" ? "-" : "\(folder)/\(input)", "--spill", "\(folder)/cache", "--drain-timeout", "300ms"]
            + destinations.flatMap { ["--to", $0] }
    }

    private func life(_ folder: String, _ input: String, _ destinations: [String]) throws -> RelayResult {
        try RunningRelay(arguments(folder, input, destinations)).finish()
    }

    /// A last life, in which all are there; the numbers that one of them gets.
    private func numbers(_ folder: String, to name: String, besides others: [String]) throws -> Set<Int> {
        let (asked, other) = (try ReferenceCollector(), try ReferenceCollector())
        defer { for collector in [asked, other] { collector.stop() } }
        let result = try life(folder, "newer", [to(asked, name)] + others.map { to(other, $0) })
        result.expect(exits: 0)
        try expectLedger(result, captured: 10, encoded: 10)
        #expect(asked.state.violations == [])
        let numbers = asked.state.packets.map { number(of: Packet($0)) }
        #expect(Set(numbers).count == numbers.count)
        return Set(numbers)
    }

    private func waitUntilKnown(_ name: String, _ folder: String) throws {
        try waitUntil("\(name) is written down") {
            try readFile("\(folder)/cache/destinations").firstRange(of: Array(name.utf8)) != nil
        }
    }

    @Test(
        "Who is new and asks for all is still owed all in the next life, after a clean end and after kill -9",
        arguments: [true, false])
    func newcomer(endsCleanly: Bool) throws {
        try withCache(of: ["first"]) { folder in
            let both = [dead("first"), dead("late", ",backlog=all")]
            if endsCleanly {
                let result = try life(folder, "new", both)
                result.expect(exits: 69)
                #expect(try expectLedger(result).destination("late").count("on_disk") == 3010)
            } else {
                let relay = try RunningRelay(arguments(folder, "-", both))
                try relay.child.writeInput(captureFile(numberedPackets(30_000..<30_010)))
                try waitUntilKnown("late", folder)
                relay.child.send(signal: SIGKILL)
                _ = try relay.child.wait()
            }
            let numbers = try numbers(folder, to: "late", besides: ["first"])
            #expect(numbers.isSuperset(of: Array(0..<3000) + Array(40_000..<40_010)))
            #expect(!endsCleanly || numbers.isSuperset(of: 30_000..<30_010))
        }
    }

    @Test("Who joins by SIGHUP and asks for all is owed all as soon as its name is written down")
    func joining() throws {
        try withCache(of: ["first"]) { folder in
            func write(_ names: [String]) throws {
                let lines = ["to:"] + names.map { "  - \"\($0)\"" }
                try writeFile("\(folder)/config", Array((lines.joined(separator: "\n") + "\n").utf8))
            }
            try write([dead("first")])
            let relay = try RunningRelay(arguments(folder, "-", []) + ["--config", "\(folder)/config"])
            try relay.child.writeInput(captureFile(numberedPackets(30_000..<30_010)))
            try relay.waitFor("first: 127.0.0.1:1: connect")
            try write([dead("first"), dead("late", ",backlog=all")])
            relay.child.send(signal: SIGHUP)
            try waitUntilKnown("late", folder)
            relay.child.send(signal: SIGKILL)
            _ = try relay.child.wait()
            let numbers = try numbers(folder, to: "late", besides: ["first"])
            #expect(numbers.isSuperset(of: Array(0..<3000) + Array(40_000..<40_010)))
        }
    }

    @Test("Who is new and asks for nothing old gets nothing old, in this life and the next, though no note says so")
    func modest() throws {
        try withCache(of: ["first"]) { folder in
            for name in try directoryEntries("\(folder)/cache") where name.hasSuffix(".owed") {
                try run("rm", ["\(folder)/cache/\(name)"]).checked()
            }
            try life(folder, "new", [dead("first"), dead("late")]).expect(exits: 69)
            #expect(
                try numbers(folder, to: "late", besides: ["first"]) == Set(30_000..<30_010).union(40_000..<40_010))
        }
    }

    @Test("What was let go of, because its destination was none any more, stays so when that comes back")
    func former() throws {
        try withCache(of: ["first", "former"]) { folder in
            let second = try life(folder, "new", [dead("first")])
            second.expect(exits: 69, naming: ["former is no destination any more: 3000 packets"])
            #expect(try numbers(folder, to: "former", besides: ["first"]) == Set(40_000..<40_010))
        }
    }

    @Test(
        "A run whose input never began lets go of nothing: a file that one has all of stays for the other one",
        arguments: [true, false])
    func inputNeverBegan(endsCleanly: Bool) throws {
        try withCache(of: ["first", "former"]) { folder in
            let collector = try ReferenceCollector()
            defer { collector.stop() }
            let relay = try RunningRelay(arguments(folder, "-", [to(collector, "first")]))
            // Either it is written down that it has everything, or the file is gone.
            try waitUntil("all to be delivered") {
                try directoryEntries("\(folder)/cache").filter { $0.hasSuffix(".owed") }.allSatisfy {
                    try readFile("\(folder)/cache/\($0)").firstRange(of: Array("first".utf8)) == nil
                }
            }
            #expect(collector.state.packets.count == 3000)
            if endsCleanly {
                relay.child.closeInput()
                try #expect(!relay.finish().command.errorText.contains("no destination any more"))
            } else {
                relay.child.send(signal: SIGKILL)
                _ = try relay.child.wait()
            }
            let numbers = try numbers(folder, to: "former", besides: ["first"])
            #expect(numbers == Set(0..<3000).union(40_000..<40_010))
        }
    }

    @Test("Without the names, or without the notes, who asks for all gets all", arguments: ["names", "notes", "both"])
    func nothingWrittenDown(missing: String) throws {
        try withCache(of: ["first"]) { folder in
            for name in try directoryEntries("\(folder)/cache") {
                if name == "destinations", missing != "notes" { try writeFile("\(folder)/cache/\(name)", [1, 2]) }
                if name.hasSuffix(".owed"), missing != "names" { try run("rm", ["\(folder)/cache/\(name)"]).checked() }
            }
            try life(folder, "new", [dead("first"), dead("late", ",backlog=all")]).expect(exits: 69)
            let numbers = try numbers(folder, to: "late", besides: ["first"])
            #expect(numbers == Set(0..<3000).union(30_000..<30_010).union(40_000..<40_010))
        }
    }

    @Test(
        "The first one that waits on disk comes by SIGHUP: it gets what there is for its name, or all if it asks for that",
        arguments: ["first", "late"], [true, false])
    func comesLater(name: String, hasNotes: Bool) throws {
        try withCache(of: ["first"]) { folder in
            for note in try directoryEntries("\(folder)/cache") where note.hasSuffix(".owed") && !hasNotes {
                try run("rm", ["\(folder)/cache/\(note)"]).checked()
            }
            let collector = try ReferenceCollector()
            defer { collector.stop() }
            let classic = "to:\n  - \"127.0.0.1:1,name=classic,wire=pcap\"\n"
            try writeFile("\(folder)/config", Array(classic.utf8))
            let relay = try RunningRelay(arguments(folder, "-", []) + ["--config", "\(folder)/config"])
            try relay.child.writeInput(captureFile(numberedPackets(30_000..<30_010)))
            try relay.waitFor("1 files of earlier runs stay as they are")
            try relay.waitFor("classic: 127.0.0.1:1: connect")
            let all = name == "late" ? ",backlog=all" : ""
            try writeFile("\(folder)/config", Array((classic + "  - \"\(to(collector, name, all))\"\n").utf8))
            relay.child.send(signal: SIGHUP)
            try waitUntil("what earlier lives have left") {
                Set(collector.state.packets.map { number(of: Packet($0)) }).isSuperset(of: 0..<3000)
            }
            relay.child.closeInput()
            let result = try relay.finish()
            try expectLedger(result, captured: 10, guests: [name])
            #expect(try result.report?.destination(name).count("carried_in") ?? 0 >= 3000)
            let release = "first is no destination any more: 3000 packets"
            #expect(result.command.errorText.contains(release) == (name == "late"))
            // What was said is true: nobody is owed it any more.
            #expect(try numbers(folder, to: "first", besides: ["late"]) == Set(40_000..<40_010))
        }
    }

    @Test("What passed to another from one that was taken out is that one's after kill -9, also without notes")
    func passedOn() throws {
        try withTemporaryDirectory { folder in
            func write(_ names: [String]) throws {
                let lines = ["to:"] + names.map { "  - \"\(dead($0))\"" }
                try writeFile("\(folder)/config", Array((lines.joined(separator: "\n") + "\n").utf8))
            }
            try write(["leaving", "staying"])
            let more = ["--distribute", "round-robin", "--segment-size", "512K"]
            let relay = try RunningRelay(
                arguments(folder, "-", []) + more + ["--config", "\(folder)/config", "--memory-age", "20ms"])
            try relay.child.writeInput(captureFile(numberedPackets(0..<6000, size: 1000)))
            try waitForQuietCache("\(folder)/cache", bytes: 4_000_000)
            try write(["staying"])
            relay.child.send(signal: SIGHUP)
            try waitUntil("leaving is a name no more") {
                try readFile("\(folder)/cache/destinations").firstRange(of: Array("leaving".utf8)) == nil
            }
            relay.child.send(signal: SIGKILL)
            _ = try relay.child.wait()
            let written = try wholeNumbersOnDisk("\(folder)/cache")
            for name in try directoryEntries("\(folder)/cache") where name.hasSuffix(".owed") {
                try run("rm", ["\(folder)/cache/\(name)"]).checked()
            }
            let collector = try ReferenceCollector()
            defer { collector.stop() }
            try writeFile("\(folder)/newer", captureFile(numberedPackets(40_000..<40_010)))
            try RunningRelay(arguments(folder, "newer", [to(collector, "staying")]) + more).finish().expect(exits: 0)
            let numbers = collector.state.packets.map { number(of: Packet($0)) }
            #expect(written.count > 3000 && Set(numbers) == written.union(40_000..<40_010))
            #expect(Set(numbers).count == numbers.count && collector.state.violations == [])
        }
    }
}
