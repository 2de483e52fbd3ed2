import Glibc
import TestSupport
import Testing

@Suite("A cache that was damaged, or is started for others")
struct SpillDamageTests {
    private let packets = numberedPackets(0..<20_000, size: 1000)

    /// A cache that owes all packets to `a`, and a small input for what follows.
    private func withCache(_ body: (_ folder: String, _ file: String) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            try writeFile("\(folder)/new", captureFile(numberedPackets(20_000..<20_010, size: 100)))
            let cache = spilling(folder, to: "127.0.0.1:9,name=a")
            let result = try relay(["-r", "\(folder)/in", "--drain-timeout", "200ms"] + cache)
            result.expect(exits: 69, naming: ["20000 packets wait in the cache"])
            let names = try cacheFiles("\(folder)/cache")
            #expect(names.count == 1)
            try body(folder, "\(folder)/cache/\(names[0])")
        }
    }

    private func spilling(_ folder: String, to destination: String) -> [String] {
        ["--spill", "\(folder)/cache", "--sync", "none", "--memory", "32M", "--to", destination]
    }

    /// What a run over the new packets delivers to a collector named `a`, as numbers.
    private func deliver(
        _ folder: String, exits code: Int32 = 0, _ check: (Report, RelayResult) throws -> Void
    ) throws -> [Int] {
        let collector = try ReferenceCollector()
        defer { collector.stop() }
        let result = try relay(
            ["-r", "\(folder)/new", "--drain-timeout", "5s"]
                + spilling(folder, to: "127.0.0.1:\(collector.port),name=a,ack=required"))
        result.expect(exits: code)
        try check(try expectLedger(result, captured: 10, encoded: 10), result)
        return collector.state.packets.map(Packet.init).map(number(of:)).sorted()
    }

    @Test("A file that was cut: what is missing is counted, the rest arrives, and nobody waits for what is not there")
    func cut() throws {
        try withCache { folder, file in
            #expect(unsafe truncate(file, 7_000_001) == 0)
            let left = try packetsOnDisk("\(folder)/cache").map(number(of:)).sorted()
            let numbers = try deliver(folder) { report, _ in
                let destination = try report.destination("a")
                #expect(try destination.count("carried_in") == 20_000)
                #expect(destination.losses == ["cache_damage": UInt64(20_000 - left.count)])
            }
            #expect(left.count > 5000 && numbers == left + Array(20_000..<20_010))
            #expect(try cacheFiles("\(folder)/cache").isEmpty)
        }
    }

    @Test("A hole among delivered batches and a footer that is gone: everything that is good and owed arrives")
    func hole() throws {
        try withCache { folder, file in
            // The first half was delivered, says the note of a collector that has it.
            let half = try ReferenceCollector()
            let first = try RunningRelay(
                ["-r", "-", "--replay-rate", "8M"]
                    + spilling(folder, to: "127.0.0.1:\(half.port),name=a,ack=required,order=oldest-first"))
            try first.child.writeInput(captureFile(numberedPackets(30_000..<30_001, size: 100)))
            try waitUntil("half of it") { half.state.packets.count > 8000 }
            // The note is written once a second.
            let note = String(file.dropLast(7)) + ".owed"
            let before = try readFile(note)
            try waitUntil("a new note") { (try? readFile(note)).map { $0 != before } ?? false }
            first.child.send(signal: SIGKILL)
            _ = try first.child.wait()
            let had = Set(half.state.packets.map(Packet.init).map(number(of:)))
            half.stop()

            var bytes = try readFile(file)
            bytes.replaceSubrange(1_000_000..<2_000_000, with: repeatElement(0, count: 1_000_000))
            bytes.replaceSubrange((bytes.count - 100)..<(bytes.count - 98), with: [120, 120])
            try writeFile(file, bytes)
            let numbers = Set(try deliver(folder) { _, _ in })
            let missing = Set(0..<20_000).subtracting(had).subtracting(numbers)
            #expect(missing.isEmpty, "\(missing.count) of \(20_000 - had.count), from \(missing.min() ?? 0)")
            #expect(try cacheFiles("\(folder)/cache").isEmpty)
        }
    }

    @Test("Nothing is written down about who is owed what: it is sent, not deleted", arguments: [true, false])
    func unknownNames(isMissing: Bool) throws {
        try withCache { folder, file in
            _ = unsafe unlink(String(file.dropLast(7)) + ".owed")
            if isMissing {
                _ = unsafe unlink("\(folder)/cache/destinations")
            } else {
                try writeFile("\(folder)/cache/destinations", Array("garbage".utf8))
            }
            let numbers = try deliver(folder) { _, _ in }
            #expect(numbers == Array(0..<20_010))
        }
    }

    @Test("A file that somebody has removed between two runs: what was owed of it is lost, said and counted, once")
    func removedBetween() throws {
        try withCache { folder, file in
            #expect(unsafe unlink(file) == 0)
            for isFirst in [true, false] {
                let numbers = try deliver(folder) { report, result in
                    let it = try report.destination("a")
                    #expect(it.losses == (isFirst ? ["cache_damage": 20_000] : [:]))
                    #expect(try it.count("carried_in") == (isFirst ? 20_000 : 0))
                    #expect(result.command.errorText.contains("it is gone, with 20000 packets owed to a") == isFirst)
                }
                #expect(numbers == Array(20_000..<20_010))
            }
        }
    }

    @Test("A start that fails, or that nobody waits on disk in, leaves a cache as it is")
    func failedStart() throws {
        try withCache { folder, _ in
            let starts: [([String], Int32)] = [
                (["-f", "udpp"] + spilling(folder, to: "127.0.0.1:9,name=other"), 64),
                (spilling(folder, to: "null"), 0),
                (["--spill", "\(folder)/cache", "-w", "\(folder)/out"], 0),
            ]
            for (arguments, code) in starts {
                let result = try relay(["-r", "\(folder)/new", "--drain-timeout", "200ms"] + arguments)
                result.expect(exits: code)
                if code == 0 { #expect(result.command.errorText.contains("1 files of earlier runs stay as they are")) }
            }
            #expect(try deliver(folder) { _, _ in } == Array(0..<20_010))
        }
    }

    @Test("A destination that is none any more is named, with what it was owed")
    func formerDestination() throws {
        try withCache { folder, _ in
            let reader = try Reader()
            let result = try relay(["-r", "\(folder)/new"] + spilling(folder, to: "\(reader.address),name=b"))
            result.expect(
                exits: 0, naming: ["a is no destination any more: 20000 packets that it was owed are let go"])
            #expect(try cacheFiles("\(folder)/cache").isEmpty)
        }
    }

    @Test("Files of others with the names of ours: a pipe is not waited for, a capture is set aside, not deleted")
    func foreign() throws {
        try withCache { folder, _ in
            let (pipe, capture) = (
                "20231114T221000Z-00000000000000000000000000000003-0.pcapng",
                "20231114T221000Z-00000000000000000000000000000004-0.pcapng"
            )
            #expect(unsafe mkfifo("\(folder)/cache/\(pipe)", 0o644) == 0)
            let bytes = try readFile("\(folder)/new")
            try writeFile("\(folder)/cache/\(capture)", bytes)
            let numbers = try deliver(folder) { _, result in
                let said = "\(pipe): open: No such device or address; the file is left alone"
                #expect(result.command.errorText.contains(said))
                #expect(result.command.errorText.contains("moved to damaged"))
            }
            #expect(numbers == Array(0..<20_010))
            let kept = try run("ls", ["\(folder)/cache/damaged"]).checked().outputLines
            #expect(kept.count == 1)
            #expect(try readFile("\(folder)/cache/damaged/\(kept[0])") == bytes)
            let shown = try run(builtExecutable("spillway"), ["inspect", "\(folder)/cache"])
            #expect(shown.errorText.contains(pipe) || shown.outputText.contains(pipe))
        }
    }

    @Test("A collector's journal is no cache: its open files stay as they are", arguments: [false, true])
    func journal(isSealed: Bool) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            try writeFile("\(folder)/new", captureFile(numberedPackets(20_000..<20_010, size: 100)))
            let collect = ["collect", "--listen", "127.0.0.1:0", "--out", "\(folder)/out"]
            let journal = "\(folder)/out/.spillway/journal"
            try withChild(try builtExecutable("spillway"), collect) { collector in
                try collector.waitUntil { _, errors in errors.contains("collecting at ") }
                let line = try #require(
                    collector.errorText.split(separator: "\n").first { $0.contains("collecting at ") })
                let address = try #require(line.split(separator: " ").first { $0.hasPrefix("127.0.0.1:") })
                try relay(["-r", "\(folder)/in", "--to", "\(address),ack=required"]).expect(exits: 0)
                collector.send(signal: SIGKILL)
                _ = try collector.wait()
            }
            let files = try cacheFiles(journal)
            #expect(!files.isEmpty && files.allSatisfy { $0.hasSuffix(".open") })
            if isSealed {
                for name in files {
                    #expect(unsafe rename("\(journal)/\(name)", "\(journal)/\(name.dropLast(5))") == 0)
                }
            }
            let before = try cacheFiles(journal).map { ($0, try readFile("\(journal)/\($0)")) }
            let result = try relay(
                ["-r", "\(folder)/new", "--spill", journal, "--to", "127.0.0.1:9,name=a"]
                    + ["--drain-timeout", "100ms", "--memory", "32M"])
            #expect(result.command.errorText.contains("a file of a collector's journal; it is left alone"))
            for (name, bytes) in before {
                let now = try readFile("\(journal)/\(isSealed ? name + ".open" : name)")
                #expect(now == bytes, "\(name)")
            }
        }
    }
}
