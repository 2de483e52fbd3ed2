import Glibc
import TestSupport
import Testing

@Suite("A run is told to end while memory goes to disk", .serialized)
struct SpillStopTests {
    /// How it is told, and what the disk is like.
    enum Stop: CaseIterable {
        /// Without any time to drain; a disk that takes its time.
        case once
        /// The second signal comes while segments are on their way to the same disk.
        case twice
        /// The same, and then the disk answers nothing any more.
        case hanging
    }

    @Test(
        "What is on disk is owed by the next life, the rest is dropped by name, and nothing is both",
        arguments: Stop.allCases)
    func told(_ stop: Stop) throws {
        try withFailingDisk { disk in
            try withNetworkNamespace { space in
                let running = try space.relay([
                    "-i", "right", "--to", "127.0.0.1:9,name=it", "--spill", disk.path, "--segment-size", "512K",
                    "--memory", "80M", "--memory-age", "1h", "--admit", "1", "--drain-timeout",
                    stop == .once ? "0s" : "10s", "--metrics", "127.0.0.1:0",
                ])
                let sender = try space.enter { try FrameSender("left") }
                let count = 12_000
                for number in 0..<count {
                    try sender.send(liveFrame(number, size: 1000))
                    if number % 2000 == 1999 { try space.waitUntilTaken(number + 1, by: running) }
                }
                let before = disk.written
                var illness = FailingDisk.Illness()
                illness.pause = 30_000
                disk.set(illness)
                running.child.send(signal: SIGTERM)
                try running.waitFor("ending, a second signal")
                if stop != .once {
                    try waitUntil("the sweep to begin") { disk.written > before }
                    illness.hangs = stop == .hanging
                    disk.set(illness)
                    running.child.send(signal: SIGTERM)
                }
                let result = try running.finish()
                result.expect(exits: 0)
                disk.set()
                let it = try expectLedger(result, captured: count).destination("it")
                let onDisk = try it.count("on_disk")
                #expect(try it.count("in_memory") == 0 && it.count("expired") == 0)
                #expect(onDisk + it.losses["drain", default: 0] == UInt64(count))
                if stop == .once {
                    #expect(it.losses.isEmpty)
                    #expect(!disk.names.contains { $0.hasSuffix(".open") }, "\(disk.names)")
                }
                let left = try space.numbersLeft(on: disk, for: "it")
                #expect(UInt64(left.count) == onDisk && Set(left).count == left.count)
                #expect(Set(left).isSubset(of: 0..<count))
            }
        }
    }
}
