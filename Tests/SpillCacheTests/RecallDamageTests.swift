import Glibc
import Machine
import Pcapng
import SpillCache
import TestSupport
import Testing

/// What becomes of a damaged file on the road that a relay takes it: start, recall, sending by descriptor and place.
@Suite("A damaged cache file on its way to a destination")
struct RecallDamageTests {
    private static let run = SampleRun(seed: 31)
    private static let name = CacheFileName(
        start: CacheRig.window.lowerBound, run: CacheRig.identity(run), number: 0)

    /// The bytes of a small file, its batches, and where each ends.
    private func sample(_ folder: String, sealed: Bool) throws -> (bytes: [UInt8], batches: [[UInt8]], ends: [Int]) {
        let rig = try CacheRig(folder)
        let plan = CacheFilePlan(
            kind: .spill, name: Self.name, sensor: "s", linkType: 1, window: CacheRig.window, reservation: 1 << 16,
            application: "t")
        var writer = try CacheFileWriter(plan, in: rig.directory)
        var ends: [Int] = []
        let batches = (0..<3).map { CacheRig.batch($0, of: Self.run, packets: 1, length: 8) }
        for batch in batches {
            try CacheRig.append([batch], to: &writer)
            ends.append(Int(writer.end))
        }
        if sealed { try writer.seal(durably: false) }
        let bytes = try readFile("\(folder)/\(sealed ? Self.name.sealed : Self.name.open)")
        return (bytes, batches.map(\.bytes), ends)
    }

    /// A relay's start, as far as files go; one thread for all of them.
    private struct Life {
        let recall: CacheRecall
        let directory: DirectoryHandle

        init(_ folder: String) throws {
            directory = try DirectoryHandle(folder, creating: true)
            recall = try CacheRecall(directory, wake: try WakeSignal())
        }

        /// Puts a file into the empty directory, starts, and returns what would be sent, batch by batch.
        func sent(of bytes: [UInt8], as name: String) throws -> [[UInt8]] {
            removeTree("\(directory.path)/damaged")
            for old in try directory.names() { try directory.remove(old) }
            try writeFile("\(directory.path)/\(name)", bytes)
            let earlier = try EarlierFiles(in: directory, known: nil, application: "t", isDurable: false) { _ in }
            return try earlier.files.flatMap { file in
                let expected = CacheRecall.Expected(
                    run: file.name.run, batches: UInt32(file.summary.batches), packets: file.summary.packets,
                    ranges: file.ranges)
                recall.post(.init(place: 0, name: file.name, end: file.summary.footerOffset, expected: expected))
                let deadline = ContinuousClock.now + .seconds(30)
                while true {
                    if let answer = recall.take().first { return Self.batches(of: answer) }
                    guard ContinuousClock.now < deadline else { throw SystemError("recall", name, code: ETIMEDOUT) }
                    usleep(20)
                }
            }
        }

        private static func batches(of answer: CacheRecall.Answer) -> [[UInt8]] {
            defer { if answer.descriptor >= 0 { close(answer.descriptor) } }
            return answer.batches.map { batch in
                var bytes = [UInt8](repeating: 0, count: Int(batch.bytes))
                let count = unsafe pread(answer.descriptor, &bytes, bytes.count, off_t(batch.offset))
                return Array(bytes.prefix(max(0, count)))
            }
        }
    }

    /// Everything that is in the directory now, what was set aside included.
    private func kept(_ folder: String) throws -> [[UInt8]] {
        try [folder, "\(folder)/damaged"].flatMap { place in
            try ((try? directoryEntries(place)) ?? []).filter { $0 != "damaged" }.map { try readFile("\(place)/\($0)") }
        }
    }

    @Test("Cut at every offset: exactly the whole batches before the cut are sent", arguments: [false, true])
    func truncation(sealed: Bool) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let (bytes, batches, ends) = try sample(folder, sealed: sealed)
            let life = try Life(folder)
            let name = sealed ? Self.name.sealed : Self.name.open
            #expect(try life.sent(of: bytes, as: name) == batches)
            for count in bytes.indices {
                let whole = ends.filter { $0 <= count }.count
                let sent = try life.sent(of: Array(bytes[..<count]), as: name)
                #expect(sent == Array(batches[..<whole]), "cut to \(count)")
            }
        }
    }

    @Test(
        "Every byte flipped in turn: every other batch is found, and the damaged one at most goes on to the check",
        arguments: [false, true])
    func flips(sealed: Bool) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let (bytes, batches, ends) = try sample(folder, sealed: sealed)
            let life = try Life(folder)
            let name = sealed ? Self.name.sealed : Self.name.open
            var leftAlone = 0
            for offset in bytes.indices {
                var damaged = bytes
                damaged[offset] ^= UInt8(1 << (offset % 8))
                let found = try life.sent(of: damaged, as: name)
                let hit = ends.indices.first { offset < ends[$0] && offset >= ends[$0] - batches[$0].count }
                let others = batches.indices.filter { $0 != hit }.map { batches[$0] }
                // The batch's own checksum is looked at before it is sent; here only its place is known.
                let wrong = hit.map { Array(damaged[(ends[$0] - batches[$0].count)..<ends[$0]]) }
                let sent = found.filter { $0 != wrong }
                if sent == others { continue }
                // The head of a file says what all of it is: without it, or in another version, it stays as it is.
                #expect(sent.isEmpty && hit == nil, "flip at \(offset)")
                #expect(try kept(folder).contains(damaged), "flip at \(offset)")
                leftAlone += 1
            }
            #expect(leftAlone < bytes.count / 2)
        }
    }
}
