import FileService
import Glibc
import Machine
import Pcapng
import SpillCache
import TestSupport
import Testing

/// Queries over a directory that the spill cache writes. What is expected is made from docs/format.md by `SampleBatch`.
@Suite("Queries over cache files", .serialized)
struct CacheQueryTests {
    static let start: UInt64 = 1_700_000_000_000_000_000
    /// Nanoseconds between batches.
    static let step: UInt64 = 10_000_000

    /// Batches of about 6000 bytes, one each 10 ms, so that there are several in each step of the index.
    private func batches(_ run: SampleRun, _ numbers: Range<UInt64>) -> [SampleBatch] {
        numbers.map { number in
            SampleBatch(
                (0..<10).map { place in
                    let bytes = sampleBytes(500 + place, seed: Int(number) * 100 + place)
                    return SamplePacket(
                        time: Self.start + number * Self.step + UInt64(place) * 1000, original: UInt32(bytes.count),
                        interface: UInt32(place % run.interfaces.count), bytes: bytes)
                }, run: run, number: number)
        }
    }

    private func writer(_ folder: String, _ number: UInt64) throws -> CacheFileWriter {
        let owner = RunIdentity(low: 1, high: 2)
        let plan = CacheFilePlan(
            kind: .spill, name: CacheFileName(start: Self.start, run: owner, number: number), sensor: "a", linkType: 1,
            window: Self.start..<Self.start + 60_000_000_000, application: "test")
        return try CacheFileWriter(plan, in: DirectoryHandle(folder, creating: false))
    }

    private func append(_ batches: [SampleBatch], to writer: inout CacheFileWriter, lanes: [UInt16] = [0]) throws {
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        for batch in batches {
            let run = batch.run
            var description = RunDescription(
                run: RunIdentity(low: word(run.identity[0..<8]), high: word(run.identity[8..<16])))
            for block in run.interfaces { precondition(description.add(interface: block)) }
            for lane in lanes { precondition(description.add(lane: run.lane(lane))) }
            let result = unsafe batch.bytes.withUnsafeBytes { buffer in
                Result { () throws(SystemError) in
                    let trailer = unsafe BatchTrailer(reading: buffer.baseAddress! + (buffer.count - 96))
                    try unsafe writer.append(buffer, [trailer], of: description)
                }
            }
            try result.get()
        }
    }

    private func time(_ number: Double) -> String {
        let nanoseconds = Self.start + UInt64(number * Double(Self.step))
        let fraction = String(nanoseconds % 1_000_000_000)
        return "\(nanoseconds / 1_000_000_000).\(String(repeating: "0", count: 9 - fraction.count))\(fraction)"
    }

    /// Batches of the answer, in its order.
    private func found(_ rig: Rig, _ query: String) throws -> [[UInt8]] {
        let response = try rig.get("/?\(query)")
        #expect(response.status == 200)
        return try sections(response.body).flatMap { try ParsedStream($0).batches.map(\.bytes) }
    }

    /// The answer has a section for each file that it takes batches from.
    private func sections(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var starts: [Int] = []
        var place = 0
        while place + 12 <= bytes.count {
            if bytes[place..<(place + 4)].elementsEqual([0x0A, 0x0D, 0x0D, 0x0A]) { starts.append(place) }
            let length = (0..<4).reduce(0) { $0 | Int(bytes[place + 4 + $1]) << (8 * $1) }
            try #require(length >= 12)
            place += length
        }
        #expect(place == bytes.count)
        return zip(starts, starts.dropFirst() + [bytes.count]).map { Array(bytes[$0..<$1]) }
    }

    @Test("Of a sealed file whole batches of a time, and of one that is being written")
    func sealedAndOpen() throws {
        let run = SampleRun(seed: 1, interfaces: 2)
        let all = batches(run, 0..<400)
        try withServer { rig in
            var writer = try writer(rig.folder, 0)
            try append(all, to: &writer)
            // The same before and after the footer is there.
            for isSealed in [false, true] {
                if isSealed { try writer.seal() }
                #expect(try found(rig, "from=0") == all.map(\.bytes))
                for (first, last) in [(0, 0), (0, 1), (17, 17), (100, 250), (398, 399), (399, 500)] {
                    let answer = try found(rig, "from=\(time(Double(first)))&to=\(time(Double(last) + 0.5))")
                    #expect(answer == all[first...min(last, 399)].map(\.bytes), "\(first)...\(last)")
                }
                #expect(try found(rig, "from=\(time(400))").isEmpty)
                #expect(try found(rig, "to=1600000000").isEmpty)
            }
        }
    }

    @Test("Interfaces and lanes that are described in the middle of a file are in the answer, wherever it begins")
    func latecomers() throws {
        var run = SampleRun(seed: 2, interfaces: 1)
        let before = batches(run, 0..<100)
        run.add(interface: "late0")
        let after = batches(run, 100..<300)
        try withServer { rig in
            var writer = try writer(rig.folder, 0)
            try append(before, to: &writer)
            try append(after, to: &writer, lanes: [0, 1])
            try writer.seal()
            let answer = try rig.get("/?from=\(time(200))")
            let stream = try ParsedStream(answer.body)
            #expect(stream.batches.map(\.bytes) == after[100...].map(\.bytes))
            #expect(stream.interfaces.map(\.name) == ["eth0", "late0"])
        }
    }

    @Test("Several files, some without any of it, some damaged in their footers, in the order of their times")
    func directory() throws {
        try withServer { rig in
            var expected: [[UInt8]] = []
            for number in 0..<6 {
                let run = SampleRun(seed: 10 + number)
                let some = batches(run, UInt64(number * 50)..<UInt64(number * 50 + 50))
                var writer = try writer(rig.folder, UInt64(5 - number))
                try append(some, to: &writer)
                let name = writer.plan.name.sealed
                try writer.seal()
                expected += some.map(\.bytes)
                if number % 2 == 1 {
                    // A footer that does not check is as good as none.
                    var bytes = try readFile("\(rig.folder)/\(name)")
                    bytes[bytes.count - 100] ^= 1
                    try writeFile("\(rig.folder)/\(name)", bytes)
                }
            }
            #expect(try found(rig, "from=0") == expected)
            #expect(try found(rig, "from=\(time(60))&to=\(time(229.5))") == Array(expected[60..<230]))
        }
    }

    @Test("A file that grows all the time gives whole batches, and more of them each time")
    func growing() throws {
        let run = SampleRun(seed: 3)
        let all = batches(run, 0..<300)
        try withServer { rig in
            var writer = try writer(rig.folder, 0)
            var count = 0
            for piece in 0..<30 {
                try append(Array(all[(piece * 10)..<(piece * 10 + 10)]), to: &writer)
                let answer = try found(rig, "from=0")
                #expect(answer == all[..<(piece * 10 + 10)].map(\.bytes))
                count = answer.count
            }
            #expect(count == 300)
        }
    }
}
