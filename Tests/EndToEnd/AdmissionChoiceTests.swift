import Glibc
import TestSupport
import Testing

@Suite("For whom packets are diverted, and for whom not", .serialized)
struct AdmissionChoiceTests {
    private static let size = 1000

    /// Sends so many numbered packets, at so many a second.
    private func flood(_ space: NetworkNamespace, _ count: Int, perSecond: Int) throws {
        let sender = try space.enter { try FrameSender("left") }
        let start = ContinuousClock.now
        for number in 0..<count {
            if number % 50 == 0 {
                let due = start + .seconds(Double(number) / Double(perSecond))
                while ContinuousClock.now < due { usleep(500) }
            }
            try sender.send(liveFrame(number, size: Self.size))
        }
    }

    @Test("While one destination keeps up all of it is live, though another takes nothing at all")
    func slowBesideQuick() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let quick = try space.reader()
                let slow = try space.reader(.stalled, receiveBuffer: 16_384)
                let running = try space.relay([
                    "-i", "right", "--to", "\(quick.address),name=quick", "--to", "\(slow.address),name=slow",
                    "--spill", "\(folder)/cache", "--sync", "none", "--memory", "40M", "--segment-size", "512K",
                    "--memory-age", "1h", "--metrics", "127.0.0.1:0", "--drain-timeout", "20s",
                ])
                for name in ["quick", "slow"] { try running.waitFor("\(name): connected") }
                // Well above what memory holds: the slow one's part of it is swept to disk.
                try flood(space, 14_000, perSecond: 4000)
                try waitUntil("the quick reader to have all, and the sweep to have come") {
                    usleep(20_000)
                    let figures = try SoakFigures(space, running)
                    return figures.sum("delivered_packets_total", "quick") == 14_000
                        && figures.sum("disk_packets", "slow") > 0
                }
                #expect(try SoakFigures(space, running).sum("admit_n") == 1)
                slow.set(.reading)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                #expect(try report.count("admit_n_max") == 1 && report.count("diverted") == 0)
            }
        }
    }

    @Test("For a destination that cannot be served from disk nothing is diverted, whatever comes")
    func classic() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let reader = try space.reader(.stalled, receiveBuffer: 16_384)
                let running = try space.relay([
                    "-i", "right", "--to", "\(reader.address),name=it,wire=pcap", "--spill", "\(folder)/cache",
                    "--sync", "none", "--memory", "40M", "--segment-size", "512K", "--metrics", "127.0.0.1:0",
                    "--drain-timeout", "20s",
                ])
                try running.waitFor("it: connected")
                // Something must have gone out before, or there is nothing to compare with.
                reader.set(.reading)
                try flood(space, 500, perSecond: 2000)
                try waitUntil("the first to be there") {
                    try SoakFigures(space, running).sum("delivered_packets_total", "it") == 500
                }
                reader.set(.stalled)
                try flood(space, 14_000, perSecond: 20_000)
                reader.set(.reading)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                #expect(try report.count("admit_n_max") == 1 && report.count("diverted") == 0)
                #expect(try report.destination("it").losses["evicted", default: 0] > 0)
            }
        }
    }

    @Test("Beside a destination that cannot be served from disk nothing is diverted for another one that can")
    func classicBeside() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let (waits, classic) = (try space.reader(), try space.reader())
                let running = try space.relay([
                    "-i", "right", "--to", "\(waits.address),name=waits", "--to",
                    "\(classic.address),name=classic,wire=pcap", "--spill", "\(folder)/cache", "--sync", "none",
                    "--memory", "40M", "--segment-size", "512K", "--admit", "4", "--metrics", "127.0.0.1:0",
                    "--drain-timeout", "20s",
                ])
                for name in ["waits", "classic"] { try running.waitFor("\(name): connected") }
                try flood(space, 4000, perSecond: 4000)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                #expect(try report.count("diverted") == 0 && report.destination("classic").losses.isEmpty)
            }
        }
    }

    @Test("N is 1 while the cache is as large as it may be with what is owed, until some of that is delivered")
    func fullCache() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let reader = try space.reader(.stalled, receiveBuffer: 16_384)
                let running = try space.relay([
                    "-i", "right", "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache", "--sync", "none",
                    "--memory", "40M", "--segment-size", "512K", "--admit", "4", "--spill-file-size", "1M",
                    "--spill-size", "8M", "--memory-age", "1h", "--metrics", "127.0.0.1:0", "--drain-timeout", "20s",
                ])
                try running.waitFor("it: connected")
                try waitUntil("N to be 4") { try SoakFigures(space, running).sum("admit_n") == 4 }
                try flood(space, 20_000, perSecond: 10_000)
                try running.waitFor("admission: one packet in 1 (was 4), unwritable")
                // It stays so, whatever expires meanwhile.
                let changes = try SoakFigures(space, running).sum("admit_changes")
                try flood(space, 10_000, perSecond: 5000)
                #expect(try SoakFigures(space, running).sum("admit_changes") == changes)
                reader.set(.reading)
                try running.waitFor("admission: one packet in 4 (was 1)")
                try stop(running).expect(exits: 0)
            }
        }
    }

    @Test("A fixed N is 1 while the disk is full: said in the log, counted, and not forgotten as the greatest")
    func fixedOnFullDisk() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                try run("mount", ["-t", "tmpfs", "-o", "size=4M", "none", folder]).checked()
                defer { _ = try? run("umount", ["-l", folder]) }
                let reader = try space.reader(.stalled, receiveBuffer: 16_384)
                let running = try space.relay([
                    "-i", "right", "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache", "--sync", "none",
                    "--memory", "40M", "--segment-size", "512K", "--admit", "4", "--spill-file-size", "1M",
                    "--metrics", "127.0.0.1:0", "--drain-timeout", "20s",
                ])
                try running.waitFor("it: connected")
                try waitUntil("N to be 4") { try SoakFigures(space, running).sum("admit_n") == 4 }
                try flood(space, 20_000, perSecond: 10_000)
                try running.waitFor("admission: one packet in 1 (was 4), unwritable")
                #expect(try SoakFigures(space, running).sum("admit_n_max") == 4)
                reader.set(.reading)
                let result = try stop(running)
                result.expect(exits: 0, naming: ["No space left"])
                let report = try expectLedger(result)
                #expect(try report.count("admit_n_max") == 4 && report.count("admit_changes") > 0)
            }
        }
    }
}
