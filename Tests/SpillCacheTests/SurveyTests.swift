import Glibc
import Machine
import SpillCache
import TestSupport
import Testing

@Suite("What is in a cache")
struct SurveyTests {
    static let runs = [SampleRun(seed: 21, interfaces: 2), SampleRun(seed: 22)]

    private func sample(_ folder: String) throws -> CacheSample {
        func batch(_ times: [UInt64], _ run: SampleRun, _ number: UInt64) -> SampleBatch {
            CacheSample.batch(times, run: run, number: number)
        }
        return try CacheSample(
            folder,
            [
                [batch([5, 9], Self.runs[0], 0), batch([7, 30], Self.runs[1], 0)],
                [batch([100, 90, 95], Self.runs[0], 1)],
                [],
                [batch([200], Self.runs[0], 2)],
            ], open: [2, 3])
    }

    @Test(
        "Counts, times, runs and states of every file, from footers and by reading all",
        arguments: [CacheSurvey.Depth.footers, .everything])
    func contents(depth: CacheSurvey.Depth) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let sample = try sample(folder)
            try writeFile("\(folder)/notes.txt", [1])
            let survey = try CacheSurvey(sample.rig.directory, depth: depth)
            #expect(survey.files.map(\.name) == sample.names.sorted())
            #expect(survey.others == ["notes.txt"] && survey.owner == nil && survey.faulty.isEmpty)
            for (name, batches) in zip(sample.names, sample.files) {
                let file = try #require(survey.files.first { $0.name == name })
                let packets = batches.flatMap(\.packets)
                #expect(file.state == (name.hasSuffix(".open") ? .open : .sealed))
                #expect((file.batches, file.packets) == (UInt64(batches.count), UInt64(packets.count)))
                #expect(file.recordBytes == UInt64(batches.reduce(0) { $0 + $1.bytes.count - 96 }))
                #expect(file.times.leastTime == packets.map(\.time).min() ?? 0)
                #expect(file.times.greatestTime == packets.map(\.time).max() ?? 0)
                #expect(Set(file.runs) == Set(batches.map { CacheRig.identity($0.run) }))
                #expect(try file.size == UInt64(readFile("\(folder)/\(name)").count))
            }
            #expect(survey.packets == UInt64(sample.packets.count) && survey.batches == 4)
            #expect(survey.times.leastTime == sample.packets.map(\.time).min())
            #expect(survey.runs.count == 2)
        }
    }

    @Test(
        "The owner is known by what it wrote; nothing is locked, nothing changes, and what is being written is no damage"
    )
    func live() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let sample = try sample(folder)
            let lock = try DirectoryLock(in: sample.rig.directory, owner: "relay of the test")
            // The beginning of a batch that is being written at this moment.
            let open = "\(folder)/\(sample.names[3])"
            let whole = try readFile(open)
            try writeFile(open, whole + sample.files[3][0].bytes.prefix(40))
            func look() throws -> [String: [UInt8]] {
                try Dictionary(
                    uniqueKeysWithValues: directoryEntries(folder).map { ($0, try readFile("\(folder)/\($0)")) })
            }
            let before = try look()
            let survey = try CacheSurvey(sample.rig.directory, depth: .everything)
            #expect(survey.owner?.hasPrefix("relay of the test, process \(getpid())") == true)
            #expect(survey.faulty.isEmpty && survey.packets == UInt64(sample.packets.count))
            _ = try CacheExport.run(
                survey, in: sample.rig.directory, to: "\(folder).pcapng", application: "test", memory: 1 << 16)
            defer { unsafe unlink("\(folder).pcapng") }
            #expect(try look() == before)
            // The lock is held as before: nobody else gets it, and it is free once it is let go.
            #expect(throws: CacheError.self) { _ = try DirectoryLock(in: sample.rig.directory, owner: "other") }
            #expect(throws: CacheError.self) { _ = try CacheRepair(sample.rig.directory, application: "test") }
            discard(lock)
            let after = try CacheSurvey(sample.rig.directory, depth: .everything)
            // With nobody there, the same end is torn.
            #expect(after.owner == nil && after.faulty.map(\.name) == [sample.names[3]])
            #expect(after.faulty[0].damage.map(\.kind) == [.torn])
            #expect(after.faulty[0].damage[0].offset == UInt64(whole.count))
            #expect(after.faulty[0].damage[0].byteCount == 40)
        }
    }

    private func discard(_ lock: consuming DirectoryLock) {}

    @Test("A footer that checks and says something else than the file is found when everything is read")
    func lyingFooter() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let sample = try sample(folder)
            let path = "\(folder)/\(sample.names[1])"
            try writeFile(path, FooterForgery.changed(try readFile(path)) { _, summary in summary.add(56, 7) })
            #expect(try CacheSurvey(sample.rig.directory, depth: .footers).faulty.isEmpty)
            let survey = try CacheSurvey(sample.rig.directory, depth: .everything)
            #expect(survey.faulty.map(\.name) == [sample.names[1]])
            #expect(survey.faulty.flatMap(\.damage).map(\.kind) == [.contents])
        }
    }

    @Test("A footer that checks and tells of more than there can be is no footer, and nothing overflows")
    func boundlessFooter() throws {
        /// What is added to which number of the lists' end or of the summary.
        let forgeries: [(atEnd: Int?, inSummary: Int?)] = [
            (8, nil), (16, nil), (nil, 32), (nil, 40), (nil, 48), (nil, 56),
        ]
        for (atEnd, inSummary) in forgeries {
            try withTemporaryDirectory(in: DamageTests.memory) { folder in
                let sample = try sample(folder)
                for name in sample.names.prefix(2) {
                    let path = "\(folder)/\(name)"
                    let forged = FooterForgery.changed(try readFile(path)) { lists, summary in
                        if let atEnd { lists.add(lists.bytes.count - atEnd, 1 << 62) }
                        if let inSummary { summary.add(inSummary, 1 << 62) }
                    }
                    try writeFile(path, forged)
                }
                for depth in [CacheSurvey.Depth.footers, .everything] {
                    let survey = try CacheSurvey(sample.rig.directory, depth: depth)
                    #expect(survey.files.reduce(0) { $0 + $1.packets } < 1 << 40)
                    #expect(Set(survey.faulty.map(\.name)).isSuperset(of: sample.names.prefix(2)))
                }
            }
        }
    }
}
