import Glibc
import Machine
import SpillCache
import TestSupport
import Testing

@Suite("Damaged caches: checked, exported, repaired")
struct RepairTests {
    static let runs = [SampleRun(seed: 41, interfaces: 2), SampleRun(seed: 42)]

    /// A file, which of its bytes belong to which batch, and where it lies.
    private struct Victim {
        let folder: String
        let rig: CacheRig
        let name: String
        let bytes: [UInt8]
        let batches: [SampleBatch]

        init(_ folder: String, sealed: Bool) throws {
            let batches = (0..<4).map {
                CacheSample.batch(
                    [UInt64($0) * 10, UInt64($0) * 10 + 5], run: RepairTests.runs[$0 / 3], number: UInt64($0), length: 8
                )
            }
            let sample = try CacheSample("\(folder)/cache", [batches], open: sealed ? [] : [0])
            (self.folder, rig, name, self.batches) = (folder, sample.rig, sample.names[0], batches)
            bytes = try readFile("\(folder)/cache/\(name)")
        }

        /// Leaves nothing in the cache but this file with these bytes.
        func place(_ bytes: [UInt8]) throws {
            removeTree("\(folder)/cache")
            try #require(unsafe mkdir("\(folder)/cache", 0o755) == 0)
            try writeFile("\(folder)/cache/\(name)", bytes)
        }

        /// All three tools over the cache as it is now; `note` says where the damage is.
        func examine(isNoticed: Bool, _ note: String) throws {
            let directory = try DirectoryHandle("\(folder)/cache", creating: false)
            var good: [[UInt8]] = []
            let scan = try CacheScan.run(name, in: directory) { batch, _ in good.append(unsafe Array(batch.bytes)) }
            let written = Set(batches.map(\.bytes))
            #expect(good.allSatisfy(written.contains), "\(note)")
            let survey = try CacheSurvey(directory, depth: .everything)
            let file = try #require(survey.files.first)
            #expect((file.state == .damaged || file.state == .foreign) == isNoticed, "\(note): \(file.state)")
            if file.state == .damaged {
                #expect(!file.damage.isEmpty && file.damage.count == file.damagedPlaces, "\(note)")
                #expect(file.damage.allSatisfy { $0.offset + $0.byteCount <= file.size }, "\(note)")
            }
            let isForeign = scan.foreignVersion != nil
            let packets = batches.filter { good.contains($0.bytes) }.flatMap(\.packets).map(BarePacket.init).sorted()
            let report = try CacheExport.run(
                CacheSurvey(directory, depth: .footers), in: directory, to: "\(folder)/out.pcapng", application: "test",
                memory: 1 << 14)
            let exported = try PlainPcapng(readFile("\(folder)/out.pcapng")).packets.map(BarePacket.init)
            #expect(exported.sorted() == (isForeign ? [] : packets), "\(note)")
            #expect(report.packets == UInt64(exported.count))
            try repair(directory, good: isForeign ? [] : good, isForeign: isForeign, note)
        }

        private func repair(_ directory: DirectoryHandle, good: [[UInt8]], isForeign: Bool, _ note: String) throws {
            var outcomes: [CacheRepair.Outcome] = []
            let repair = try CacheRepair(directory, application: "test")
            try repair.run { outcomes.append($0) }
            let survey = try CacheSurvey(directory, depth: .everything)
            if isForeign {
                #expect(survey.files.map(\.name) == [name], "\(note)")
                return
            }
            #expect(survey.files.allSatisfy { $0.state == .sealed }, "\(note): \(survey.files.map(\.state))")
            var kept: [[UInt8]] = []
            for file in survey.files {
                let scan = try CacheScan.run(file.name, in: directory) { batch, _ in
                    kept.append(unsafe Array(batch.bytes))
                }
                #expect(scan.footer != nil && scan.damagedPlaces == 0 && scan.tornBytes == 0, "\(note)")
            }
            #expect(kept == good, "\(note)")
            #expect(survey.others.allSatisfy { ["lock", "damaged"].contains($0) }, "\(note): \(survey.others)")
            // A second time there is nothing to do.
            var again: [CacheRepair.Outcome] = []
            try repair.run { again.append($0) }
            #expect(again.isEmpty, "\(note): \(again)")
        }
    }

    @Test(
        "Every byte flipped in turn: noticed, nothing wrong exported, and all that is good is kept",
        arguments: [true, false])
    func flips(sealed: Bool) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let victim = try Victim(folder, sealed: sealed)
            for offset in victim.bytes.indices {
                var damaged = victim.bytes
                damaged[offset] ^= UInt8(1 << (offset % 8))
                try victim.place(damaged)
                try victim.examine(isNoticed: true, "flip at \(offset)")
                // What was damaged is kept beside, unchanged, where the file was made anew.
                let aside = "\(folder)/cache/damaged/\(victim.name)"
                if let kept = try? readFile(aside) { #expect(kept == damaged) }
            }
        }
    }

    @Test("Cut at every offset", arguments: [true, false])
    func cuts(sealed: Bool) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let victim = try Victim(folder, sealed: sealed)
            // An open file that ends where a batch or a check block ends looks as if it had been left there.
            var ends: Set<Int> = [0]
            for count in victim.bytes.indices {
                try victim.place(Array(victim.bytes[..<count]))
                let directory = try DirectoryHandle("\(folder)/cache", creating: false)
                let report = try CacheScan.run(victim.name, in: directory) { _, _ in }
                if report.tornBytes == 0 { ends.insert(count) }
                try victim.examine(isNoticed: sealed || !ends.contains(count), "cut to \(count)")
            }
            // Each batch and each group of blocks has an end, and no more.
            #expect(ends.count <= 1 + victim.batches.count + 3, "\(ends.sorted())")
        }
    }

    @Test("What is owed is forgotten where batches have other places afterwards, and only there")
    func owed() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let batches = (0..<3 as Range<UInt64>).map { CacheSample.batch([$0 * 10], run: Self.runs[0], number: $0) }
            let sample = try CacheSample(folder, [batches, batches, batches], open: [1])
            let lists = sample.names.map { "\(folder)/" + $0.prefix { $0 != "." } + ".owed" }
            for list in lists { try writeFile(list, [1, 2, 3]) }
            let first = "\(folder)/\(sample.names[0])"
            var bytes = try readFile(first)
            let place = try #require(bytes.firstRange(of: batches[1].bytes))
            bytes[place.lowerBound + 40] ^= 1
            try writeFile(first, bytes)
            let open = "\(folder)/\(sample.names[1])"
            try writeFile(open, try readFile(open).dropLast(10))
            try CacheRepair(sample.rig.directory, application: "test").run()
            #expect(lists.map { (try? readFile($0)) != nil } == [false, true, true])
        }
    }

    @Test("A journal is the collector's to recover, and two files of one name are not mixed")
    func left() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let rig = try CacheRig(folder)
            var writer = try rig.writer()
            try CacheRig.append([CacheRig.batch(0, of: Self.runs[0])], to: &writer)
            var outcomes: [CacheRepair.Outcome] = []
            let repair = try CacheRepair(rig.directory, application: "test")
            let name = rig.plan().name
            let before = try readFile("\(folder)/\(name.open)")
            try repair.run { outcomes.append($0) }
            guard case .left(name: name.open, _) = try #require(outcomes.first) else {
                Issue.record("\(outcomes)")
                return
            }
            #expect(try readFile("\(folder)/\(name.open)") == before)
        }
    }
}
