import Glibc
import TestSupport
import Testing

/// Bytes on disk may change behind the relay's back. What does not check is never sent, and everything else is.
@Suite("A batch is checked before it is sent from disk")
struct SpillTrustTests {
    private static let packets = numberedPackets(0..<20_000, size: 1000)

    /// Changes one byte of a file where it lies: this must not make a new file of it.
    private func change(_ path: String, at offset: Int) throws {
        let file = unsafe open(path, O_RDWR | O_CLOEXEC)
        defer { close(file) }
        var byte: UInt8 = 0
        try #require(unsafe pread(file, &byte, 1, offset) == 1)
        byte ^= 0x10
        try #require(unsafe pwrite(file, &byte, 1, offset) == 1)
    }

    /// Checks that a reader has all packets, each once, but for some that are counted as damaged.
    private func check(_ reader: Reader, _ result: RelayResult, missing limit: Range<Int>) throws {
        try reader.waitForEnd()
        let found = try sections(reader.streams[0]).flatMap(\.packets).map { number(of: $0) }.filter { $0 < 20_000 }
        let missing = Set(0..<20_000).subtracting(found)
        #expect(limit.contains(missing.count), "\(missing.count) are missing")
        #expect(Set(found).count == found.count)
        let it = try expectLedger(result).destination("it")
        #expect(it.losses == ["cache_damage": UInt64(missing.count)])
        #expect(try it.count("on_disk") == 0)
    }

    @Test("In a file of the present run: the batch is lost and counted, the file named once, the rest arrives")
    func present() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(Self.packets))
            let reader = try Reader(.stalled, receiveBuffer: 16_384)
            let running = try RunningRelay([
                "-r", "\(folder)/in", "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache",
                "--drain-timeout", "30s",
            ])
            // The newest is sent first and so checked first: what lies at the beginning has long to wait for its turn.
            try waitForQuietCache("\(folder)/cache", bytes: 15_000_000)
            let name = try #require(cacheFiles("\(folder)/cache").first)
            for offset in [1_000_000, 1_000_100, 3_000_000] { try change("\(folder)/cache/\(name)", at: offset) }
            reader.set(.reading)
            let result = try running.finish(timeLimit: .seconds(60))
            result.expect(exits: 0, naming: ["batches that do not check are not sent"])
            #expect(result.command.errorText.components("do not check are not sent") == 1)
            try check(reader, result, missing: 2..<200)
        }
    }

    /// What came from disk is told apart from what came from memory, and is older: it waited for the first run's end.
    private func checkAges(_ result: RelayResult) throws {
        let it = try expectLedger(result).destination("it").tree
        guard case .number(let live)? = it["age_live_p50_ms"], case .number(let replay)? = it["age_replay_p50_ms"],
            case .number(let oldest)? = it["age_replay_p99_ms"]
        else { throw Unexpected("ages of both kinds in \(it)") }
        #expect(0 < live && live < replay && replay <= oldest)
    }

    /// What is changed in a file of an earlier run.
    enum Part: CaseIterable {
        case record, trailerType, trailerNumber, trailerPackets

        /// Where it is, in a file whose trailer with the middle place begins there.
        func offset(_ trailer: Int) -> Int {
            switch self {
            case .record: trailer - 500
            case .trailerType: trailer + 1
            // As docs/format.md has it: the number at 32, packets at 40.
            case .trailerNumber: trailer + 33
            case .trailerPackets: trailer + 40
            }
        }
    }

    @Test("In a file of an earlier run, whatever part of a batch it is", arguments: Part.allCases)
    func earlier(_ part: Part) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(Self.packets))
            try writeFile("\(folder)/new", captureFile(numberedPackets(30_000..<30_010)))
            let first = try relay([
                "-r", "\(folder)/in", "--to", "127.0.0.1:\(try freePort()),name=it", "--spill", "\(folder)/cache",
                "--drain-timeout", "300ms",
            ])
            first.expect(exits: 69)
            let name = try #require(cacheFiles("\(folder)/cache").first)
            let bytes = try readFile("\(folder)/cache/\(name)")
            let trailer = try #require(
                stride(from: bytes.count / 8 * 4, to: bytes.count - 96, by: 4).first {
                    bytes.word($0) == 0x8053_5054 && bytes.word($0 + 4) == 96 && bytes.word($0 + 92) == 96
                })
            try change("\(folder)/cache/\(name)", at: part.offset(trailer))
            let reader = try Reader()
            let second = try relay([
                "-r", "\(folder)/new", "--to", "\(reader.address),name=it", "--spill", "\(folder)/cache",
            ])
            second.expect(exits: 0, naming: [part == .record ? "batches that do not check" : "batches are good"])
            try check(reader, second, missing: 1..<100)
            try checkAges(second)
        }
    }
}

extension String {
    /// How often something occurs in it.
    fileprivate func components(_ part: String) -> Int {
        var (count, rest) = (0, self[...])
        while let range = rest.firstRange(of: part) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
