import Glibc
import TestSupport
import Testing

@Suite("What stays in a cache when a run is told to end, and what is too old to stay")
struct SpillEndTests {
    @Test(
        "SIGTERM of a run that reads files or a pipe: what waits on disk stays for the next run, and arrives there once",
        arguments: [false, true])
    func told(isPipe: Bool) throws {
        try withTemporaryDirectory { folder in
            let (cache, port) = ("\(folder)/cache", try freePort())
            let to = ["--to", "127.0.0.1:\(port),name=it,ack=required", "--spill", cache]
            try writeFile("\(folder)/old", captureFile(numberedPackets(0..<20_000, size: 1000)))
            try writeFile("\(folder)/new", captureFile(numberedPackets(20_000..<20_010)))
            // Nobody is there: all of it goes to disk.
            let first = try relay(["-r", "\(folder)/old", "--drain-timeout", "1s"] + to)
            first.expect(exits: 69, naming: ["20000 packets wait in the cache"])
            let collector = try ReferenceCollector(port: port)
            defer { collector.stop() }
            // At this rate it would take minutes.
            let second = try RunningRelay(
                ["-r", isPipe ? "-" : "\(folder)/new", "--replay-rate", "100K", "--drain-timeout", "2s"] + to)
            if isPipe { try second.child.writeInput(readFile("\(folder)/new")) }
            try waitUntil("the new packets and some old ones to arrive") {
                let found = Set(collector.state.packets.map { number(of: Packet($0)) })
                return found.isSuperset(of: 20_000..<20_010) && found.count > 10
            }
            second.child.send(signal: SIGTERM)
            let told = try second.finish()
            told.expect(exits: 0)
            let it = try expectLedger(told, captured: 10, encoded: 10).destination("it")
            let had = collector.state.packets.map { number(of: Packet($0)) }
            #expect(Set(had).count == had.count)
            #expect(try it.losses.isEmpty && it.count("on_disk") == UInt64(20_010 - had.count) && had.count < 20_010)
            // The next run owes just that.
            try writeFile("\(folder)/last", captureFile(numberedPackets(30_000..<30_010)))
            try relay(["-r", "\(folder)/last"] + to).expect(exits: 0)
            let all = collector.state.packets.map { number(of: Packet($0)) }
            #expect(all.count == 20_020 && Set(all) == Set(0..<20_010).union(30_000..<30_010))
            #expect(try cacheFiles(cache).isEmpty)
        }
    }

    @Test("--spill-age: what is too old goes, also out of the file that is written last")
    func age() throws {
        try withTemporaryDirectory { folder in
            let cache = "\(folder)/cache"
            let running = try RunningRelay([
                "-r", "-", "--to", "127.0.0.1:\(try freePort()),name=it", "--spill", cache, "--spill-age", "2s",
                "--memory-age", "1ms", "--segment-size", "512K", "--drain-timeout", "1s",
            ])
            try running.child.writeInput(captureFile(numberedPackets(0..<3000, size: 1000)))
            // The last ones may be in a segment that is still being filled.
            try waitUntil("most of it to be on disk") { try wholeNumbersOnDisk(cache).count > 2000 }
            try waitUntil("no file to be left") { try cacheFiles(cache).isEmpty }
            running.child.closeInput()
            let it = try expectLedger(try running.finish(), captured: 3000, encoded: 3000).destination("it")
            #expect(try it.count("expired") > 2000 && it.count("expired") + it.count("on_disk") == 3000)
        }
    }
}
