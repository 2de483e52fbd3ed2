import Machine
import Pcapng
import SpillCache
import TestSupport
import Testing

@Suite("What is written down of who is owed what, compared with the file it is about")
struct OwedNoteTests {
    private static let run = SampleRun(seed: 57)

    /// A destination's part of a note: its name, packets, words.
    private typealias Part = (name: String, packets: UInt64, words: [UInt64])

    /// A note as docs/format.md has it.
    private func note(_ batches: UInt32, _ packets: UInt64, _ parts: [Part]) -> [UInt8] {
        var out = ByteWriter(.little)
        out.number(UInt32(0x4F53_5053))
        out.number(UInt16(1))
        out.number(UInt16(parts.count))
        out.number(batches)
        out.number(UInt32(0))
        out.number(packets)
        for part in parts {
            out.number(UInt16(part.name.utf8.count))
            out.raw(Array(part.name.utf8))
            out.number(part.packets)
            out.number(UInt16(part.words.count))
            for word in part.words { out.number(word) }
        }
        out.number(referenceCRC32C(out.bytes))
        return out.bytes
    }

    /// The block of a lane that is a destination's share.
    private func lane(_ number: UInt16, of name: String) -> [UInt8] {
        var body = ByteWriter(.little)
        for field in [1, number, 0, UInt16(name.utf8.count)] { body.number(field) }
        body.raw(Self.run.identity)
        body.padded(Array(name.utf8))
        return sampleBlock(0x8053_504c, body.bytes)
    }

    /// A cache file whose batches have so many packets and are in these lanes. Lanes are described when they are first met.
    private func makeFile(
        _ folder: String, _ batches: [(packets: Int, lane: UInt16)], owners: [UInt16: String] = [:], sealed: Bool = true
    ) throws -> (rig: CacheRig, name: CacheFileName) {
        let rig = try CacheRig(folder)
        var plan = rig.plan()
        plan.kind = .spill
        plan.name = CacheFileName(start: CacheRig.window.lowerBound, run: CacheRig.identity(Self.run), number: 0)
        var writer = try CacheFileWriter(plan, in: rig.directory)
        var description = RunDescription(run: CacheRig.identity(Self.run))
        for block in Self.run.interfaces { precondition(description.add(interface: block)) }
        for (number, batch) in batches.enumerated() {
            let block = owners[batch.lane].map { lane(batch.lane, of: $0) } ?? Self.run.lane(batch.lane)
            precondition(description.add(lane: block))
            let model = CacheRig.batch(UInt64(number), of: Self.run, packets: batch.packets)
            let bytes = SampleBatch(model.packets, run: Self.run, lane: batch.lane, number: UInt64(number)).bytes
            let trailer = unsafe bytes.withUnsafeBytes {
                unsafe BatchTrailer(reading: $0.baseAddress! + ($0.count - 96))
            }
            let result = unsafe bytes.withUnsafeBytes { buffer in
                Result { () throws(SystemError) in try unsafe writer.append(buffer, [trailer], of: description) }
            }
            try result.get()
        }
        if sealed { try writer.seal(durably: false) }
        return (rig, plan.name)
    }

    /// What a start makes of it, and what is written down then: by name the packets and which batches.
    private func start(_ folder: String, known: KnownDestinations?) throws -> [String: OwedFile.Destination] {
        func look() throws -> EarlierFile {
            let directory = try DirectoryHandle(folder, creating: true)
            let earlier = try EarlierFiles(in: directory, known: known, application: "t", isDurable: false) { _ in }
            #expect(earlier.files.count == 1 && earlier.lost.isEmpty)
            return try #require(earlier.files.first)
        }
        let first = try #require(try look().owed)
        let again = try look()
        // The second start has it from the note.
        #expect(again.owed == first && again.isNoted)
        return Dictionary(uniqueKeysWithValues: first.destinations.map { ($0.name, $0) })
    }

    @Test(
        "One that contradicts its file or itself counts as none, and all is owed to all there were", arguments: 0..<11)
    func contradiction(number: Int) throws {
        // The file: three batches, nine packets.
        let most = UInt64.max
        let notes: [(UInt32, UInt64, [Part])] = [
            (3, 9, [("a", 8, [0b111])]), (3, 9, [("a", 10, [0b111])]), (3, 9, [("a", most - 4, [0b111])]),
            (3, 9, [("a", 3, [])]), (3, 9, [("a", 9, [0b1111])]), (3, 9, [("a", 1, [0b110])]),
            (3, 8, [("a", 8, [0b111])]), (2, 8, [("a", 8, [0b11]), ("a", 8, [0b11])]), (2, 9, [("a", 9, [0b11])]),
            (4, 12, [("a", 12, [0b1111])]), (3, most, [("a", most, [0b111])]),
        ]
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let (_, name) = try makeFile(folder, [(3, 0), (3, 0), (3, 0)])
            let (batches, packets, parts) = notes[number]
            try writeFile("\(folder)/\(OwedFile.name(of: name))", note(batches, packets, parts))
            let owed = try start(folder, known: KnownDestinations(names: ["a", "b"]))
            #expect(Set(owed.keys) == ["a", "b"])
            for part in owed.values { #expect(part.packets == 9 && part.bits == [0b111]) }
        }
    }

    @Test("One that may be true is believed; what came behind it is owed to all it names", arguments: [true, false])
    func truth(sealed: Bool) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let (_, name) = try makeFile(folder, [(3, 0), (4, 0), (5, 0)], sealed: sealed)
            let parts: [Part] = [("a", 4, [0b10]), ("b", 0, [])]
            try writeFile("\(folder)/\(OwedFile.name(of: name))", note(2, 7, parts))
            let owed = try start(folder, known: KnownDestinations(names: ["a", "b", "c"]))
            #expect(Set(owed.keys) == ["a", "b"])
            #expect(owed["a"]?.packets == 9 && owed["a"]?.bits == [0b110])
            #expect(owed["b"]?.packets == 5 && owed["b"]?.bits == [0b100])
        }
    }

    @Test(
        "What came behind it, or all without it, is owed to whose share it is, also in a file that was sealed since",
        arguments: [true, false], [true, false])
    func shares(sealed: Bool, hasNote: Bool) throws {
        try withShares(sealed: sealed) { folder, name in
            let parts: [Part] = [("a", 0, []), ("b", 2, [0b10])]
            if hasNote { try writeFile("\(folder)/\(OwedFile.name(of: name))", note(2, 3, parts)) }
            let known = KnownDestinations(names: ["a", "b"], run: CacheRig.identity(Self.run))
            let owed = try start(folder, known: KnownDestinations(known.bytes))
            #expect(Set(owed.keys) == ["a", "b"])
            #expect(owed["a"]?.packets == (hasNote ? 8 : 9) && owed["a"]?.bits == [hasNote ? 0b10100 : 0b10101])
            #expect(owed["b"]?.packets == 6 && owed["b"]?.bits == [0b1010])
        }
    }

    @Test(
        "Where batches have passed from one to another, or another run knows the names, it is owed to all",
        arguments: [true, false], [true, false])
    func passed(sealed: Bool, hasPassed: Bool) throws {
        try withShares(sealed: sealed) { folder, name in
            try writeFile("\(folder)/\(OwedFile.name(of: name))", note(2, 3, [("a", 1, [0b1]), ("b", 0, [])]))
            let run = CacheRig.identity(hasPassed ? Self.run : SampleRun(seed: 58))
            let known = KnownDestinations(names: ["a", "b"], hasPassed: hasPassed, run: run)
            let owed = try start(folder, known: KnownDestinations(known.bytes))
            #expect(owed["a"]?.packets == 13 && owed["a"]?.bits == [0b11101])
            #expect(owed["b"]?.packets == 12 && owed["b"]?.bits == [0b11100])
        }
    }

    /// A file of five batches of one to five packets, by turns the share of a and of b.
    private func withShares(sealed: Bool, _ body: (_ folder: String, CacheFileName) throws -> Void) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let batches: [(packets: Int, lane: UInt16)] = [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1)]
            try body(folder, makeFile(folder, batches, owners: [1: "a", 2: "b"], sealed: sealed).name)
        }
    }

    @Test("Sums that could be true and are not are set right before anything is sent")
    func sums() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let (rig, name) = try makeFile(folder, [(1, 0), (2, 0), (3, 0)])
            try writeFile("\(folder)/\(OwedFile.name(of: name))", note(3, 6, [("a", 2, [0b101]), ("b", 5, [0b11])]))
            let earlier = try EarlierFiles(in: rig.directory, known: nil, application: "t", isDurable: false) { _ in }
            let file = try #require(earlier.files.first)
            let catalogue = try Catalogue(claimants: 2)
            let place = try #require(catalogue.add(file, runPlace: 1))
            for (claimant, part) in try #require(file.owed).destinations.enumerated() {
                catalogue.oweMany(claimant, place, bits: part.bits, known: 3, packets: part.packets)
            }
            let batches = (0..<3).map { ordinal in
                DiskBatch(
                    offset: UInt64(ordinal) * 1000, arrival: UInt64(ordinal), number: UInt64(ordinal), bytes: 1000,
                    packets: UInt32(ordinal + 1), worker: 0, lane: 0)
            }
            #expect(catalogue.install(batches, at: place, descriptor: -1))
            #expect(catalogue.recount(0, place) == 2 && catalogue.recount(1, place) == 5)
            #expect(catalogue.owedPackets(0) == 4 && catalogue.owedPackets(1) == 3)
            #expect(catalogue.recount(0, place) == nil)
            for claimant in 0..<2 {
                while let next = catalogue.next(claimant, newestFirst: true) {
                    catalogue.take(claimant, next)
                    catalogue.settle(claimant, next, packets: catalogue.batch(next).packets)
                }
                #expect(catalogue.owedPackets(claimant) == 0 && catalogue.unsentBatches(claimant) == 0)
            }
        }
    }
}
