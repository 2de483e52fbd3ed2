import Glibc
import TestSupport
import Testing

@Suite("State and journal with missing or wrong bytes", .serialized)
struct DamageTests {
    static let run = SampleRun(seed: 41)

    /// A collector's directory after a kill: finished files of one minute, a journal of another.
    private func prepare(_ out: String) throws -> (finished: [SampleBatch], open: [SampleBatch]) {
        let finished = Deliveries.batches(Self.run, 0..<3, packets: 1, length: 4)
        let open = Deliveries.batches(Self.run, 3..<6, packets: 1, length: 4)
        let first = try RunningCollector(out)
        #expect(try Deliveries.deliver(finished, to: first.port))
        _ = try first.stop()
        let second = try RunningCollector(out)
        #expect(try Deliveries.deliver(open, to: second.port, ends: false))
        try second.kill()
        return (finished, open)
    }

    private func copy(_ from: String, _ to: String) throws {
        removeTree(to)
        try TestSupport.run("cp", ["-r", from, to]).checked()
    }

    @Test("A journal cut or flipped anywhere: good batches are kept, the others come again, nothing is wrong or twice")
    func journal() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let (finished, open) = try prepare("\(folder)/kept")
            let name = try #require(try directoryEntries("\(folder)/kept/.spillway/journal").first)
            let bytes = try readFile("\(folder)/kept/.spillway/journal/\(name)")
            let flips = stride(from: 0, to: bytes.count, by: 37).map { ($0, true) }
            let cuts = stride(from: 0, to: bytes.count, by: 67).map { ($0, false) }
            for (place, isFlip) in flips + cuts {
                try copy("\(folder)/kept", "\(folder)/out")
                var damaged = bytes
                if isFlip { damaged[place] ^= 0x40 } else { damaged.removeSubrange(place...) }
                try writeFile("\(folder)/out/.spillway/journal/\(name)", damaged)
                let collector = try RunningCollector("\(folder)/out")
                if collector.port == 0 {
                    // Only another version is a reason not to begin.
                    let result = try collector.child.wait()
                    #expect(result.status == .exited(65) && result.errorText.contains("version"), "\(result.errorText)")
                    continue
                }
                let player = try #require(Player(port: collector.port))
                #expect(try player.open(finished + open))
                #expect(Set(finished.map(\.identity)).isSubset(of: player.had))
                let missing = open.filter { !player.had.contains($0.identity) }
                player.connection.send(Player.preamble(Self.run) + missing.flatMap(\.bytes))
                #expect(try player.waitAcknowledged(open))
                player.connection.finish()
                let noticed = collector.child.errorText
                // A file that ends with a whole block is what it was at an earlier time.
                let end = Array(damaged.suffix(4))
                let isWhole = !isFlip && (place == 0 || end == [96, 0, 0, 0] || end == [20, 0, 0, 0])
                #expect(
                    missing.isEmpty || isWhole || noticed.contains("damaged") || noticed.contains("torn"),
                    "\(isFlip ? "flip" : "cut") at \(place): \(noticed)")
                _ = try collector.stop()
                let files = try CollectedFile.all(in: "\(folder)/out")
                #expect(difference(files, finished + open) == nil, "\(isFlip ? "flip" : "cut") at \(place)")
            }
        }
    }

    @Test("A damaged state is replaced by its copy; without both the collector says so and does not begin")
    func state() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let (finished, open) = try prepare("\(folder)/kept")
            let bytes = try readFile("\(folder)/kept/.spillway/s.state")
            for (place, name) in (0..<bytes.count).map({ ($0, $0 % 2 == 0 ? "s.state" : "s.copy") })
            where place % 5 == 0 {
                try copy("\(folder)/kept", "\(folder)/out")
                var damaged = bytes
                if place % 3 == 0 { damaged[place] ^= 1 } else { damaged.removeSubrange(place...) }
                try writeFile("\(folder)/out/.spillway/\(name)", damaged)
                let collector = try RunningCollector("\(folder)/out")
                #expect(collector.child.errorText.contains("\(name): damaged"))
                #expect(try Deliveries.deliver(finished + open, to: collector.port))
                let report = try collector.stop()
                #expect(report["journal_damage"] == 1 && report["batches"] == 0)
                #expect(difference(try CollectedFile.all(in: "\(folder)/out"), finished + open) == nil)
            }
            for name in ["s.state", "s.copy"] { try writeFile("\(folder)/kept/.spillway/\(name)", [1, 2, 3]) }
            let refused = try RunningCollector("\(folder)/kept")
            let result = try refused.child.wait()
            #expect(result.status == .exited(65))
            for word in ["s.state", "s.copy", "damaged", "remove"] { #expect(result.errorText.contains(word)) }
        }
    }

    @Test("A damaged intent: what has its name is not made again, what has not is made once")
    func intents() throws {
        for (point, isNamed) in [("sealIntentWritten", false), ("sealSynced", false), ("sealDirectorySynced", true)] {
            try withTemporaryDirectory(in: Deliveries.memory) { folder in
                let batches = Deliveries.batches(Self.run, 0..<4)
                let first = try RunningCollector("\(folder)/out", crashAt: "\(point):1")
                #expect(try Deliveries.deliver(batches, to: first.port, ends: false))
                first.child.send(signal: SIGTERM)
                #expect(try first.child.wait().status == .signalled(SIGKILL))
                let state = "\(folder)/out/.spillway"
                let name = try #require(try directoryEntries(state).first { $0.hasSuffix(".intent") })
                #expect(try CollectedFile.all(in: "\(folder)/out").count == (isNamed ? 1 : 0))
                var bytes = try readFile("\(state)/\(name)")
                bytes[bytes.count / 2] ^= 4
                try writeFile("\(state)/\(name)", bytes)
                let second = try RunningCollector("\(folder)/out")
                #expect(second.child.errorText.contains("\(name): damaged"))
                #expect(try Deliveries.deliver(batches, to: second.port))
                _ = try second.stop()
                #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil, "\(point)")
            }
        }
    }

    @Test("A damaged intent where no file was ever made costs nothing of the journal")
    func foreignIntent() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let (finished, open) = try prepare("\(folder)/out")
            let state = "\(folder)/out/.spillway"
            let journal = try #require(try directoryEntries("\(state)/journal").first)
            // Of another minute than the finished file.
            let name = journal.replacing(".pcapng.open", with: ".intent")
            try removeFinished("\(folder)/out")
            try writeFile("\(state)/\(name)", sampleBytes(100, seed: 9))
            let collector = try RunningCollector("\(folder)/out")
            #expect(collector.child.errorText.contains("\(name): damaged"))
            _ = try collector.stop()
            _ = finished
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), open) == nil)
        }
    }

    private func removeFinished(_ out: String) throws {
        for name in try directoryEntries(out) where name.hasSuffix(".pcapng") {
            try unsafe #require(unlink("\(out)/\(name)") == 0)
        }
    }

    @Test("Bytes of the journal that change under a running collector never get into a file: the other batches do")
    func changedUnderway() throws {
        for place in [0, 1, 2] {
            try withTemporaryDirectory(in: Deliveries.memory) { folder in
                let batches = Deliveries.batches(Self.run, 0..<9, packets: 2, length: 400)
                let collector = try RunningCollector("\(folder)/out")
                #expect(try Deliveries.deliver(batches, to: collector.port, ends: false))
                let journal = "\(folder)/out/.spillway/journal"
                let name = try #require(try directoryEntries(journal).first)
                // A byte in the middle of a packet of the first, of a middle, of the last batch; in place, as a disk would.
                let bytes = try readFile("\(journal)/\(name)")
                let wanted = batches[4 * place].packets[0].bytes
                let start = try #require(bytes.firstRange(of: wanted)?.lowerBound)
                let file = unsafe open("\(journal)/\(name)", O_WRONLY)
                var byte = bytes[start + 200] ^ 1
                let written = unsafe pwrite(file, &byte, 1, off_t(start + 200))
                #expect(written == 1)
                close(file)
                let report = try collector.stop()
                #expect(report["journal_damage"] == 1)
                let good = batches.indices.filter { $0 != 4 * place }.map { batches[$0] }
                #expect(difference(try CollectedFile.all(in: "\(folder)/out"), good) == nil)
            }
        }
    }
}
