import Glibc
import TestSupport
import Testing

@Suite("Where the room of a cache ends")
struct SpillRoomTests {
    @Test("A disk that is full: what is lost is counted, the rest arrives, and the ledger adds up")
    func fullDisk() throws {
        try withTemporaryDirectory { folder in
            try run("mount", ["-t", "tmpfs", "-o", "size=8M", "none", "\(folder)"]).checked()
            defer { _ = try? run("umount", ["-l", folder]) }
            try withTemporaryDirectory { input in
                let packets = numberedPackets(0..<20_000, size: 1000)
                try writeFile("\(input)/in", captureFile(packets))
                let reader = try Reader(.stalled, receiveBuffer: 16_384)
                let running = try RunningRelay(
                    (0..<4).flatMap { _ in ["-r", "\(input)/in"] }
                        + [
                            "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache", "--spill-file-size",
                            "1M",
                        ])
                try running.waitFor("No space left")
                // Files wait while nothing can be written: nothing is lost.
                reader.set(.reading)
                let result = try running.finish(timeLimit: .seconds(60))
                result.expect(exits: 0)
                let it = try expectLedger(result, captured: 80_000, encoded: 80_000).destination("it")
                #expect(it.losses.isEmpty)
                #expect(try it.count("expired") == 0)
                #expect(try it.count("spilled") > 0)
                try reader.waitForEnd()
                expectSame(try Stream(reader.streams.last ?? []).packets, packets + packets + packets + packets)
            }
        }
    }

    @Test("A byte of a file that waits has changed: its batch is never sent, and what is missing is counted")
    func damage() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<2000, size: 1000)
            try writeFile("\(folder)/in", captureFile(packets))
            try writeFile("\(folder)/new", captureFile(numberedPackets(5000..<5010)))
            let common = ["--spill", "\(folder)/cache", "--drain-timeout", "300ms"]
            let dead = try freePort()
            let first = try relay(["-r", "\(folder)/in", "--to", "127.0.0.1:\(dead),name=it"] + common)
            first.expect(exits: 69)
            let name = try #require(cacheFiles("\(folder)/cache").first)
            var bytes = try readFile("\(folder)/cache/\(name)")
            bytes[bytes.count / 2] ^= 0x10
            try writeFile("\(folder)/cache/\(name)", bytes)
            let reader = try Reader()
            let second = try relay(
                ["-r", "\(folder)/new", "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache"])
            second.expect(exits: 0, naming: ["batches are good"])
            let it = try expectLedger(second).destination("it")
            try reader.waitForEnd()
            let found = try sections(reader.streams[0]).flatMap(\.packets).map { number(of: $0) }
            let missing = Set(0..<2000).subtracting(found)
            #expect(missing.count > 0 && missing.count < 100)
            #expect(Set(found).count == found.count)
            #expect(it.losses == ["cache_damage": UInt64(missing.count)])
            #expect(try it.count("carried_in") == 2000)
        }
    }

    @Test("--keep: everything is on disk, delivered or not, and only so much of it")
    func keep() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<20_000, size: 1000)
            try writeFile("\(folder)/in", captureFile(packets))
            let (all, some) = (try Reader(), try Reader())
            let first = try relay(
                ["-r", "\(folder)/in", "--to", "\(all.address),name=it", "--spill", "\(folder)/cache", "--keep", "1h"])
            first.expect(exits: 0)
            try expectLedger(first, captured: 20_000, encoded: 20_000)
            try all.waitForEnd()
            expectSame(try Stream(all.streams[0]).packets, packets)
            expectSame(try packetsOnDisk("\(folder)/cache"), packets)
            // A destination that was not there before gets it all if it asks for it; the others nothing once more.
            try writeFile("\(folder)/new", captureFile(numberedPackets(30_000..<30_010)))
            let again = try Reader()
            let second = try relay(
                [
                    "-r", "\(folder)/new", "--to", "\(again.address),name=it", "--spill", "\(folder)/cache", "--keep",
                    "4M",
                ]
                    + ["--to", "\(some.address),name=late,backlog=all"])
            second.expect(exits: 0)
            try expectLedger(second, captured: 10, encoded: 10)
            try again.waitForEnd()
            try some.waitForEnd()
            #expect(try sections(again.streams[0]).flatMap(\.packets).map { number(of: $0) } == Array(30_000..<30_010))
            let late = try sections(some.streams[0]).flatMap(\.packets).map { number(of: $0) }
            #expect(late.sorted() == Array(0..<20_000) + Array(30_000..<30_010))
            #expect(cacheBytes("\(folder)/cache") <= 4 << 20)
        }
    }
}
