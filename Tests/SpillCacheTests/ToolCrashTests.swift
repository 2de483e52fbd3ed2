import Glibc
import Machine
import SpillCache
import TestSupport
import Testing

@Suite("Repair and export that are killed", .serialized)
struct ToolCrashTests {
    static let runs = [SampleRun(seed: 61, interfaces: 2), SampleRun(seed: 62)]
    static let repairPoints: [CrashPoint] = [
        .repairWritten, .repairSetAside, .repairReplaced, .repairRenamed, .cacheCreated, .cachePreambleWritten,
        .cacheBatchesHalfWritten, .cacheBatchesWritten, .cacheTailCut, .cacheFooterWritten, .cacheRenamed,
    ]
    static let exportPoints: [CrashPoint] = [
        .exportCreated, .exportComplete, .exportSynced, .exportRenamed,
    ]

    /// A sealed file and an open one with damage in the middle, one with a torn tail, and a good one.
    private func damagedCache(_ folder: String) throws -> (sample: CacheSample, good: Set<[UInt8]>) {
        let files = (0..<4).map { file in
            (0..<5).map { number in
                let run = Self.runs[number / 4]
                let times = [UInt64(file * 1000 + number * 10), UInt64(file * 1000 + number * 10 + 5)]
                return CacheSample.batch(times, run: run, number: UInt64(file * 5 + number))
            }
        }
        let sample = try CacheSample(folder, files, open: [1, 2])
        var good = Set(files.flatMap { $0.map(\.bytes) })
        for file in [0, 1] {
            let path = "\(folder)/\(sample.names[file])"
            var bytes = try readFile(path)
            let place = try #require(bytes.firstRange(of: files[file][2].bytes))
            bytes[place.lowerBound + 33] ^= 4
            try writeFile(path, bytes)
            good.remove(files[file][2].bytes)
        }
        let torn = "\(folder)/\(sample.names[2])"
        try writeFile(torn, try readFile(torn).dropLast(20))
        good.remove(files[2][4].bytes)
        return (sample, good)
    }

    /// The good batches of all cache files of a directory, each as often as it is there.
    private func batches(_ folder: String) throws -> [[UInt8]] {
        let directory = try DirectoryHandle(folder, creating: false)
        var found: [[UInt8]] = []
        for name in try directory.names() where CacheFileName(parsing: name) != nil {
            _ = try CacheScan.run(name, in: directory) { batch, _ in found.append(unsafe Array(batch.bytes)) }
        }
        return found
    }

    private func inspect(_ arguments: [String], crashAt: String? = nil) throws -> CommandResult {
        try run(
            builtExecutable("spillway"), ["inspect"] + arguments,
            environment: crashAt.map { ["SPILLWAY_CRASH_AT": $0] } ?? [:], timeLimit: .seconds(60))
    }

    @Test(
        "Killed at each durable step of a repair: every good batch is there once, and the next repair ends well",
        arguments: repairPoints)
    func repair(point: CrashPoint) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            var deaths = 0
            for life in 1...(everythingIsRequired ? 6 : 2) {
                let cache = "\(folder)/\(life)"
                let (_, good) = try damagedCache(cache)
                // One death after the other, with nothing put in order in between.
                for count in 1...3 {
                    let result = try inspect([cache, "--repair"], crashAt: "\(point.name):\(count)")
                    if result.status == .signalled(SIGKILL) { deaths += 1 }
                    let found = try batches(cache)
                    #expect(Set(found) == good && found.count == good.count, "\(point) \(count): \(found.count)")
                }
                let last = try inspect([cache, "--repair"])
                #expect(last.status == .exited(0), "\(last.errorText)")
                #expect(try inspect([cache, "--check"]).status == .exited(0))
                let found = try batches(cache)
                #expect(Set(found) == good && found.count == good.count)
                let names = try directoryEntries(cache)
                #expect(names.filter { $0.hasSuffix(".pcapng") }.count == 4)
                #expect(Set(names.filter { !$0.hasSuffix(".pcapng") }) == ["damaged", "lock"])
            }
            #expect(deaths > 0)
        }
    }

    @Test(
        "Killed at each durable step of an export: the file is the old one or the whole new one",
        arguments: exportPoints)
    func export(point: CrashPoint) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let (_, good) = try damagedCache("\(folder)/cache")
            let target = "\(folder)/out.pcapng"
            for _ in 0..<(everythingIsRequired ? 5 : 2) {
                try writeFile(target, [1, 2, 3])
                let result = try inspect(["\(folder)/cache", "--export", target], crashAt: point.name)
                #expect(result.status == .signalled(SIGKILL), "\(result.errorText)")
                let isNew = point == .exportRenamed
                #expect(try (readFile(target) == [1, 2, 3]) == !isNew)
                let again = try inspect(["\(folder)/cache", "--export", target])
                #expect(again.status == .exited(0), "\(again.errorText)")
                #expect(try PlainPcapng(readFile(target)).packets.count == good.count * 2)
                #expect(try Set(directoryEntries(folder)) == ["cache", "out.pcapng"])
            }
        }
    }

    @Test("What the program says: the damage by file and offset, and exit code 1; refused while a relay has the cache")
    func program() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let cache = "\(folder)/cache"
            let (sample, good) = try damagedCache(cache)
            let check = try inspect([cache, "--check"])
            #expect(check.status == .exited(1))
            for file in [0, 1] {
                let start = try #require(
                    try readFile("\(cache)/\(sample.names[file])").firstRange(of: sample.files[file][1].bytes))
                #expect(check.outputText.contains("\(sample.names[file]): at offset \(start.upperBound), "))
            }
            #expect(check.outputText.contains("3 damaged places in 3 of 4 files"), "\(check.outputText)")
            let json = try inspect([cache, "--json"]).checked().outputText
            #expect(json.contains("\"packets\": ") && json.contains("\"what\": \"a batch that does not check\""))
            let lock = try DirectoryLock(in: sample.rig.directory, owner: "relay of the test")
            let refused = try inspect([cache, "--repair"])
            #expect(refused.status == .exited(69) && refused.errorText.contains("in use by relay of the test"))
            #expect(try inspect([cache]).checked().outputText.contains("in use by relay of the test"))
            discard(lock)
            let repair = try inspect([cache, "--repair"])
            #expect(repair.status == .exited(0) && repair.errorText.contains("made anew of 4 good batches"))
            #expect(try Set(batches(cache)) == good)
            #expect(try inspect([cache, "--check"]).status == .exited(0))
            #expect(try inspect(["\(folder)/missing"]).status == .exited(66))
            #expect(try inspect([cache, "--export", "\(folder)/no/such/place"]).status == .exited(73))
            #expect(try inspect([cache, "--export", "\(folder)/x", "--check"]).status == .exited(64))
        }
    }

    private func discard(_ lock: consuming DirectoryLock) {}
}
