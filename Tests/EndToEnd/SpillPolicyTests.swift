import Glibc
import TestSupport
import Testing

@Suite("What --replay, --sync and shares promise of a cache", .serialized)
struct SpillPolicyTests {
    @Test(
        "--replay: what was on disk arrives in this run, or, when it is off, exactly in the next one",
        arguments: ["idle", "eager", "off"])
    func replay(policy: String) throws {
        try withTemporaryDirectory { folder in
            let (cache, all) = ("\(folder)/cache", Set(0..<30_000))
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<30_000, size: 1000)))
            try writeFile("\(folder)/new", captureFile(numberedPackets(40_000..<40_010)))
            let reader = try Reader(.stalled, receiveBuffer: 16_384)
            let running = try RunningRelay([
                "-r", "\(folder)/in", "--to", "\(reader.address),name=it", "--spill", cache, "--sync", "none",
                "--replay", policy, "--memory", "24M", "--drain-timeout", "30s",
            ])
            try waitForQuietCache(cache, bytes: 8 << 20)
            reader.set(.reading)
            let result = try running.finish()
            // What stays is said.
            result.expect(exits: policy == "off" ? 69 : 0, naming: policy == "off" ? ["wait in the cache"] : [])
            try reader.waitForEnd()
            let found = numbers(in: reader)
            #expect(Set(found).count == found.count && Set(found).isSubset(of: all))
            let rest = all.subtracting(found)
            #expect(rest.isEmpty == (policy != "off"))
            let it = try expectLedger(result, captured: 30_000, encoded: 30_000).destination("it")
            #expect(try it.losses.isEmpty && it.count("on_disk") == UInt64(rest.count))
            #expect(try rest.isSubset(of: wholeNumbersOnDisk(cache)))
            // The next life owes just that.
            let late = try Reader()
            let next = try relay(["-r", "\(folder)/new", "--to", "\(late.address),name=it", "--spill", cache])
            next.expect(exits: 0)
            #expect(try expectLedger(next).destination("it").count("carried_in") == UInt64(rest.count))
            try late.waitForEnd()
            let more = numbers(in: late)
            #expect(more.count == rest.count + 10 && Set(more) == rest.union(40_000..<40_010))
            #expect(try cacheFiles(cache).isEmpty)
        }
    }

    @Test(
        "--sync: what counts as on disk outlives the process, and the loss of power as far as it was synced",
        arguments: ["none", "interval", "batch"])
    func sync(policy: String) throws {
        try withFailingDisk { disk in
            try withNetworkNamespace { space in
                let rig = try SpillRig(space, cache: disk.path, fileSize: "1M", ["--sync", policy])
                try rig.fill { disk.written }
                try rig.waitUntilQuickHasAll()
                // By interval all is durable a moment after nothing more comes.
                if policy == "interval" { try waitUntil("everything to be synced") { disk.unsynced == 0 } }
                let counted = try rig.figure("disk_packets", of: "slow")
                #expect(counted > 1000)
                rig.running.child.send(signal: SIGKILL, toGroup: true)
                _ = try rig.running.child.wait()
                let written = try wholeNumbersOnDisk(disk.path)
                if policy == "none" {
                    #expect(disk.syncs == 0)
                } else {
                    #expect(disk.syncs > 0)
                    disk.losePower()
                }
                let durable = try wholeNumbersOnDisk(disk.path)
                #expect(durable.isSubset(of: written) && durable.count >= counted)
                let found = try space.numbersLeft(on: disk, for: "slow")
                #expect(Set(found).count == found.count && Set(found).isSubset(of: durable) && found.count >= counted)
            }
        }
    }

    @Test("Shares and a kill -9: what was written last goes to whose share it is, and to nobody else")
    func shares() throws {
        try withTemporaryDirectory { folder in
            let (cache, ports) = ("\(folder)/cache", try (0..<3).map { _ in try freePort() })
            let common =
                ["--distribute", "round-robin", "--spill", cache]
                + ports.enumerated().flatMap { ["--to", "127.0.0.1:\($1),name=c\($0),ack=required"] }
            try writeFile("\(folder)/new", captureFile(numberedPackets(40_000..<40_010)))
            let first = try RunningRelay(["-r", "-", "--memory-age", "1ms", "--segment-size", "512K"] + common)
            try first.child.writeInput(captureFile(numberedPackets(0..<6000, size: 1000)))
            try waitUntil("packets on disk") { cacheBytes(cache) > 2 << 20 }
            first.child.send(signal: SIGKILL, toGroup: true)
            _ = try first.child.wait()
            let written = try wholeNumbersOnDisk(cache)
            #expect(written.count > 1000)
            let collectors = try ports.map { try ReferenceCollector(port: $0) }
            defer { for collector in collectors { collector.stop() } }
            let second = try relay(["-r", "\(folder)/new"] + common)
            second.expect(exits: 0)
            let report = try expectLedger(second, captured: 10, shared: true)
            #expect(try report.destinations.map { try $0.count("carried_in") }.reduce(0, +) == UInt64(written.count))
            let found = collectors.flatMap { $0.state.packets.map { number(of: Packet($0)) } }
            #expect(found.count == written.count + 10 && Set(found) == written.union(40_000..<40_010))
            #expect(collectors.allSatisfy { !$0.state.packets.isEmpty && $0.state.violations == [] })
        }
    }
}
