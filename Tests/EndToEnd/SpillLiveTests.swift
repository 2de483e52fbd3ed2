import Glibc
import TestSupport
import Testing

@Suite("What a live run has in memory and on disk", .serialized)
struct SpillLiveTests {
    private func withRig(
        memoryAge: String, _ more: [String] = [], _ body: (SpillRig, _ cache: String, NetworkNamespace) throws -> Void
    ) throws {
        try withTemporaryDirectory { folder in
            try withNetworkNamespace { space in
                let cache = "\(folder)/cache"
                try body(try SpillRig(space, cache: cache, memoryAge: memoryAge, more), cache, space)
            }
        }
    }

    private func numbersOnDisk(_ cache: String) throws -> Set<Int> {
        Set(try packetsOnDisk(cache).map { number(of: $0) })
    }

    @Test("Few packets, far from filling a segment: they too go to disk when they are old, and outlive a kill -9")
    func slowTraffic() throws {
        try withRig(memoryAge: "200ms") { rig, cache, _ in
            try rig.send(400)
            try rig.waitUntilQuickHasAll()
            try waitUntil("memory to be empty") { try rig.figure("memory_packets", of: "slow") == 0 }
            rig.running.child.send(signal: SIGKILL, toGroup: true)
            rig.slow.set(.reading)
            try rig.slow.waitForEnd()
            let safe = try numbersOnDisk(cache).union(numbers(in: rig.slow))
            #expect(safe == Set(0..<400))
        }
    }

    @Test("SIGTERM while a reader stands still: all of memory is in the cache, and the next life delivers it")
    func ended() throws {
        try withRig(memoryAge: "1h", ["--drain-timeout", "300ms"]) { rig, cache, space in
            try rig.send(4000)
            try rig.waitUntilQuickHasAll()
            let result = try stop(rig.running)
            result.expect(exits: 0)
            let report = try expectLedger(result)
            let slow = try report.destination("slow")
            #expect(slow.losses.isEmpty)
            rig.slow.set(.reading)
            try rig.slow.waitForEnd()
            let (all, early) = (Set(numbers(in: rig.quick)), Set(numbers(in: rig.slow)))
            #expect(all.count == 4000 && early.count < 4000)
            let left = try slow.count("on_disk")
            #expect(left > 0)
            #expect(try left + slow.count("delivered") == 4000)
            #expect(try numbersOnDisk(cache).union(early) == all)
            let late = try space.reader()
            let next = try space.relay(["-i", "right", "--to", "\(late.address),name=slow", "--spill", cache])
            try waitUntil("the cache to be empty") { try cacheFiles(cache).isEmpty }
            let end = try stop(next)
            end.expect(exits: 0)
            #expect(try expectLedger(end).destination("slow").count("carried_in") == left)
            try late.waitForEnd()
            // What was in flight is sent once more to a reader that does not acknowledge.
            let rest = numbers(in: late)
            #expect(Set(rest).count == rest.count && rest.count == Int(left) && early.union(rest) == all)
        }
    }

    @Test("A disk that is full for good: the oldest goes, counted, and what came last arrives")
    func small() throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            try run("mount", ["-t", "tmpfs", "-o", "size=8M", "none", folder]).checked()
            defer { _ = try? run("umount", ["-l", folder]) }
            try withNetworkNamespace { space in
                let rig = try SpillRig(space, cache: "\(folder)/cache", fileSize: "256M")
                try rig.send(40_000)
                try rig.waitUntilQuickHasAll()
                let lost = try rig.finish()
                #expect(Set(lost.keys).isSubset(of: ["evicted"]))
                #expect(numbers(in: rig.slow).contains(rig.sent - 1))
                #expect(rig.expired > 0)
            }
        }
    }
}
