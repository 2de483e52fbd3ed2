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

    @Test("A file goes while a batch of it is half sent: that batch is sent to its end, and the connection stays")
    func expiresUnderReader() throws {
        try withTemporaryDirectory { folder in
            try withNetworkNamespace { space in
                let cache = "\(folder)/cache"
                let rig = try SpillRig(
                    space, cache: cache, fileSize: "1M", memoryAge: "100ms", slowly: "oldest-first",
                    ["--spill-size", "24M"])
                try rig.fill(6 << 20) { cacheBytes(cache) }
                // It is sent from disk now, and stops in the middle of that.
                for round in 1...3 {
                    let before = rig.slow.byteCount
                    rig.slow.set(.reading)
                    try waitUntil("the slow reader to read") { rig.slow.byteCount > before + 300_000 }
                    rig.slow.set(.stalled)
                    try waitUntil("files to go") {
                        try rig.send(200)
                        return try rig.figure("expired_packets_total", of: "slow") >= round * 4000
                    }
                }
                let lost = try rig.finish()
                #expect(lost.isEmpty && rig.expired > 0)
                #expect(rig.slow.streams.count == 1)
            }
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
