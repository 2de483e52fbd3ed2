import Glibc
import TestSupport
import Testing

@Suite("Disks that fail under a running relay", .serialized)
struct SpillDiskTests {
    /// A way to fail, with the first words that are said of it.
    struct Failure: Sendable, CustomTestStringConvertible {
        let illness: FailingDisk.Illness
        let says: String
        let testDescription: String
        /// The reasons by which it may lose something.
        var losses: Set<String> { illness.reading == 0 ? ["evicted"] : ["evicted", "cache_damage"] }

        init(_ name: String, says: String, _ make: (inout FailingDisk.Illness) -> Void) {
            var illness = FailingDisk.Illness()
            make(&illness)
            (self.illness, self.says, testDescription) = (illness, says, name)
        }
    }

    static let failures = [
        Failure("full", says: "No space left on device") { ($0.writing, $0.capacity) = (ENOSPC, 0) },
        Failure("over the quota", says: "quota exceeded") { $0.writing = EDQUOT },
        Failure("read-only", says: "Read-only file system") {
            ($0.writing, $0.changing, $0.syncing) = (EROFS, EROFS, EROFS)
        },
        Failure("I/O errors", says: "Input/output error") {
            ($0.writing, $0.changing, $0.syncing, $0.reading) = (EIO, EIO, EIO, EIO)
        },
        Failure("no answer", says: "") { $0.hangs = true },
    ]

    @Test(
        "While the disk fails one reader goes on as if nothing were; the other loses what memory cannot keep, counted; then it spills again",
        arguments: failures)
    func failing(_ failure: Failure) throws {
        try withFailingDisk { disk in
            try withNetworkNamespace { space in
                let rig = try SpillRig(space, cache: disk.path)
                let before = try rig.fill { disk.written }
                // Ill: more comes than memory can hold.
                disk.set(failure.illness)
                try rig.send(14_000)
                try rig.waitUntilQuickHasAll()
                if !failure.says.isEmpty { try rig.running.waitFor(failure.says) }
                disk.set()
                // Well again: what comes now goes to disk as before.
                if !failure.says.isEmpty { try rig.running.waitFor("writing goes on") }
                #expect(try rig.fill { disk.written } > before)
                let lost = try rig.finish()
                #expect(lost["evicted", default: 0] > 0)
                #expect(Set(lost.keys).isSubset(of: failure.losses))
                #expect(!disk.names.contains { $0.contains(".pcapng") }, "\(disk.names)")
            }
        }
    }

    @Test(
        "Syncs fail: a file takes no more, the next one does, and what was written stays",
        arguments: ["interval", "batch"])
    func syncing(policy: String) throws {
        try withFailingDisk { disk in
            try withNetworkNamespace { space in
                let rig = try SpillRig(space, cache: disk.path, ["--sync", policy])
                var illness = FailingDisk.Illness()
                illness.syncing = EIO
                disk.set(illness)
                try rig.fill(1 << 20) { disk.written }
                try rig.running.waitFor("Input/output error")
                disk.set()
                if policy == "batch" { try rig.running.waitFor("writing goes on") }
                try rig.fill { disk.written }
                let lost = try rig.finish()
                // While a file of which every batch must be durable waits to be tried again, memory may be too small.
                #expect(Set(lost.keys).isSubset(of: policy == "batch" ? ["evicted"] : []))
            }
        }
    }

    @Test("Reading fails: what cannot be read is counted, left alone, and sent by the next life")
    func reading() throws {
        try withFailingDisk { disk in
            try withNetworkNamespace { space in
                let rig = try SpillRig(space, cache: disk.path, fileSize: "1M")
                // More files than are kept open.
                try rig.fill(15 << 20) { disk.written }
                var illness = FailingDisk.Illness()
                illness.reading = EIO
                disk.set(illness)
                rig.slow.set(.reading)
                try rig.running.waitFor("Input/output error")
                disk.set()
                let lost = try rig.finish()
                #expect(lost["cache_damage", default: 0] > 0 && Set(lost.keys) == ["cache_damage"])
                let late = try space.numbersLeft(on: disk, for: "slow")
                let missing = Set(numbers(in: rig.quick)).subtracting(numbers(in: rig.slow))
                #expect(missing.isSubset(of: late))
            }
        }
    }

    private func removeFiles(of cache: String) throws {
        for name in try cacheFiles(cache) { _ = unsafe unlink("\(cache)/\(name)") }
    }

    /// Removes a directory in which files are made meanwhile: until it is gone, or is there anew with its lock.
    private func removeDirectory(_ path: String) {
        for _ in 0..<50 {
            removeTree(path)
            usleep(20_000)
            if unsafe access(path, F_OK) != 0 || access("\(path)/lock", F_OK) == 0 { return }
        }
    }

    /// What somebody may do to a cache.
    enum Meddling: CaseIterable {
        case directoryRemoved, directoryMoved, filesRemoved
    }

    @Test(
        "Somebody takes the files away: what is lost with them is counted, and spilling goes on",
        arguments: Meddling.allCases)
    func meddling(_ kind: Meddling) throws {
        try withTemporaryDirectory { folder in
            try withNetworkNamespace { space in
                let (cache, other) = ("\(folder)/cache", "\(folder)/other")
                let rig = try SpillRig(space, cache: cache, fileSize: "1M")
                // More files than are kept open.
                try rig.fill(15 << 20) { cacheBytes(cache) }
                switch kind {
                case .directoryRemoved: removeDirectory(cache)
                case .directoryMoved: try run("mv", [cache, other]).checked()
                case .filesRemoved: try removeFiles(of: cache)
                }
                let now = kind == .directoryMoved ? other : cache
                try rig.fill { cacheBytes(now) }
                try rig.waitUntilQuickHasAll()
                if kind == .directoryRemoved {
                    // It has its owner again, and the next life will know who is owed what.
                    try relay(["-r", "-", "--to", "null", "--spill", cache]).expect(exits: 73, naming: ["in use by"])
                    try waitUntil("the list of destinations") { unsafe access("\(cache)/destinations", F_OK) == 0 }
                }
                let lost = try rig.finish()
                if kind == .directoryMoved {
                    #expect(lost.isEmpty)
                } else {
                    #expect(lost["cache_damage", default: 0] > 0)
                    #expect(Set(lost.keys).isSubset(of: ["cache_damage", "evicted"]))
                }
            }
        }
    }

    @Test("What nobody could be sent by the end is lost if its file is gone, and not said to be on disk")
    func removedBeforeEnd() throws {
        try withTemporaryDirectory { folder in
            try withNetworkNamespace { space in
                let cache = "\(folder)/cache"
                let rig = try SpillRig(space, cache: cache, ["--drain-timeout", "300ms"])
                try rig.fill { cacheBytes(cache) }
                try removeFiles(of: cache)
                let result = try stop(rig.running)
                result.expect(exits: 0, naming: ["somebody has removed it"])
                let slow = try expectLedger(result).destination("slow")
                let waiting = Set(try packetsOnDisk(cache).map { number(of: $0) })
                #expect(try slow.count("on_disk") <= waiting.count)
                #expect(slow.losses["cache_damage", default: 0] > 0)
            }
        }
    }
}
