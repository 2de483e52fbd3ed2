import Glibc
import Sealing
import TestSupport
import Testing

@Suite("Sealed files", .serialized)
struct AgeTests {
    private let program: String

    init() throws {
        try requireTool("age")
        try requireTool("age-keygen")
        program = try builtExecutable("spillway")
    }

    static let lengths = [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000]

    @Test("age opens what is sealed here, and the other way round", arguments: lengths)
    func bothWays(length: Int) throws {
        try withTemporaryDirectory { folder in
            let content = sampleBytes(length, seed: length)
            try writeFile("\(folder)/plain", content)
            let ours = try run(program, ["keygen", "-o", "\(folder)/ours"]).checked().outputLines[0]
            try run("age-keygen", ["-o", "\(folder)/theirs"]).checked()
            let theirs = try run("age-keygen", ["-y", "\(folder)/theirs"]).checked().outputLines[0]
            #expect(try run("age-keygen", ["-y", "\(folder)/ours"]).checked().outputLines == [ours])
            // For both; each is opened by the other program and by this one.
            try run(program, ["seal", "\(folder)/plain", "--to", ours, "--to", theirs, "-o", "\(folder)/a"]).checked()
            try run("age", ["-r", ours, "-r", theirs, "-o", "\(folder)/b", "\(folder)/plain"]).checked()
            for (sealed, key) in [("a", "ours"), ("a", "theirs"), ("b", "ours"), ("b", "theirs")] {
                let age = try run("age", ["-d", "-i", "\(folder)/\(key)", "\(folder)/\(sealed)"]).checked()
                #expect(age.output == content)
                let here = try run(
                    program, ["unseal", "\(folder)/\(sealed)", "--identity", "\(folder)/\(key)", "-o", "-"]
                ).checked()
                #expect(here.output == content)
            }
            // Through pipes.
            let piped = try run(program, ["seal", "-", "--to", theirs, "-o", "-"], input: content).checked().output
            #expect(try run("age", ["-d", "-i", "\(folder)/theirs"], input: piped).checked().output == content)
        }
    }

    @Test("No byte can be changed, and nothing cut off or added, without being noticed")
    func damage() throws {
        let identity = AgeIdentity()
        let content = sampleBytes(100, seed: 1)
        let sealed = try seal(content, identity)
        #expect(try open(sealed, identity) == content)
        for place in sealed.indices {
            var changed = sealed
            changed[place] ^= 1 << UInt8(place % 8)
            #expect((try? open(changed, identity)) == nil, "byte \(place)")
            #expect((try? open(Array(sealed[..<place]), identity)) == nil, "cut at \(place)")
        }
        #expect((try? open(sealed + [0], identity)) == nil)
        #expect((try? open(sealed, AgeIdentity())) == nil)
    }

    @Test("Chunks cannot be left out, exchanged, or taken for the last one")
    func chunks() throws {
        let identity = AgeIdentity()
        let content = sampleBytes(3 * AgePayload.plainChunk, seed: 2)
        let sealed = try seal(content, identity)
        let payload = try #require(try AgePayload.open(sealed, with: [identity]))
        let layout = try AgeLayout(start: payload.start, fileLength: UInt64(sealed.count))
        #expect(layout.chunks == 3 && layout.plainLength == UInt64(content.count))
        let parts = (0..<3).map { Array(sealed[Range(uncheckedInts: layout.range(ofChunk: UInt64($0)))]) }
        let start = Array(sealed[..<Int(payload.start)])
        #expect(try open(start + parts[0] + parts[1] + parts[2], identity) == content)
        for wrong in [[1, 0, 2], [0, 2], [0, 1], [0], [2], [0, 1, 2, 2], [0, 0, 1, 2], []] {
            #expect((try? open(start + wrong.flatMap { parts[$0] }, identity)) == nil, "\(wrong)")
        }
        for number in 0..<3 {
            let isLast = number == 2
            #expect(
                try payload.open(parts[number], number: UInt64(number), isLast: isLast)
                    == Array(content[(number << 16)..<((number + 1) << 16)]))
            #expect(throws: AgeError.badChunk(UInt64(number))) {
                try payload.open(parts[number], number: UInt64(number), isLast: !isLast)
            }
        }
    }

    @Test("A header of somebody else's kinds of recipients is passed over; keys that are none are refused")
    func keys() throws {
        let identity = AgeIdentity()
        #expect(try AgeIdentity(identity.secret).recipient == identity.recipient)
        #expect(try AgeRecipient("\(identity.recipient)") == identity.recipient)
        let text = "\(identity.recipient)"
        for wrong in [
            "", "age1", String(text.dropLast()), text + "q", text.uppercased().lowercased() + " ",
            "b" + text.dropFirst(),
        ] {
            #expect(throws: AgeError.self) { try AgeRecipient(wrong) }
        }
        for place in text.indices.dropFirst(4) {
            var other = text
            other.replaceSubrange(place...place, with: text[place] == "q" ? "p" : "q")
            #expect(throws: AgeError.self) { try AgeRecipient(other) }
        }
        #expect(throws: AgeError.self) { try AgeIdentity.all(in: "# nothing\n\n") }
        #expect(try AgeIdentity.all(in: "# a\r\n\(identity.secret)\r\n\n\(AgeIdentity().secret)").count == 2)
    }

    @Test("Exit codes, and no output where something is wrong")
    func exits() throws {
        try withTemporaryDirectory { folder in
            let key = try run(program, ["keygen", "-o", "\(folder)/key"]).checked().outputLines[0]
            try writeFile("\(folder)/plain", [1, 2, 3])
            let mode = try run("stat", ["-c", "%a", "\(folder)/key"]).checked().outputLines
            #expect(mode == ["600"])
            try run(program, ["seal", "\(folder)/plain", "--to", key, "-o", "\(folder)/s"]).checked()
            var bytes = try readFile("\(folder)/s")
            bytes[bytes.count - 1] ^= 1
            try writeFile("\(folder)/bad", bytes)
            let cases: [([String], Int32)] = [
                (["keygen", "-o", "\(folder)/key"], 73),
                (["seal", "\(folder)/none", "--to", key, "-o", "\(folder)/o"], 66),
                (["seal", "\(folder)/plain", "--to", "age1x", "-o", "\(folder)/o"], 65),
                (["seal", "\(folder)/plain", "-o", "\(folder)/o"], 64),
                (["seal", "\(folder)/plain", "--to", key, "-o", "\(folder)/plain"], 64),
                (["seal", "\(folder)/plain", "--to", key, "-o", "\(folder)/none/o"], 73),
                (["unseal", "\(folder)/bad", "--identity", "\(folder)/key", "-o", "\(folder)/o"], 65),
                (["unseal", "\(folder)/plain", "--identity", "\(folder)/key", "-o", "\(folder)/o"], 65),
                (["unseal", "\(folder)/s", "--identity", "\(folder)/plain", "-o", "\(folder)/o"], 65),
                (["unseal", "\(folder)/s", "--identity", "\(folder)/none", "-o", "\(folder)/o"], 66),
            ]
            for (arguments, code) in cases {
                let result = try run(program, arguments)
                #expect(result.status == .exited(code), "\(arguments): \(result.errorText)")
            }
            #expect(try directoryEntries(folder).sorted() == ["bad", "key", "plain", "s"])
        }
    }

    @Test("What is there and no file is written, not replaced: a device, a pipe, what a link leads to")
    func otherThanFiles() throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            let key = try run(program, ["keygen", "-o", "\(folder)/key"]).checked().outputLines[0]
            let content = sampleBytes(200_000, seed: 3)
            try writeFile("\(folder)/plain", content)
            try run("mknod", ["\(folder)/null", "c", "1", "3"]).checked()
            try run("mknod", ["\(folder)/full", "c", "1", "7"]).checked()
            try run("mkfifo", ["\(folder)/pipe"]).checked()
            try run("ln", ["-s", "target", "\(folder)/link"]).checked()
            try writeFile("\(folder)/target", [1])
            let seal = ["seal", "\(folder)/plain", "--to", key, "-o"]
            let kinds = { try run("stat", ["-c", "%F"] + ["null", "full", "pipe", "link"].map { "\(folder)/\($0)" }) }
            let before = try kinds().checked().outputLines
            try run(program, seal + ["\(folder)/null"]).checked()
            #expect(try run(program, seal + ["\(folder)/full"]).status == .exited(74))
            try run(program, seal + ["\(folder)/link"]).checked()
            let unseal = ["--identity", "\(folder)/key", "-o", "-"]
            #expect(try run(program, ["unseal", "\(folder)/target"] + unseal).checked().output == content)
            let words = ([program] + seal + ["\(folder)/pipe"]).joined(separator: " ")
            let piped = try run("sh", ["-c", "cat \(folder)/pipe & \(words); wait"]).checked().output
            #expect(try run(program, ["unseal", "-"] + unseal, input: piped).checked().output == content)
            #expect(try kinds().checked().outputLines == before)
            // Nor does a name that somebody has prepared get what is not whole yet.
            try run("ln", ["-s", "target", "\(folder)/new.part"]).checked()
            let target = try readFile("\(folder)/target")
            try run(program, seal + ["\(folder)/new"]).checked()
            #expect(try readFile("\(folder)/target") == target)
            #expect(try run("stat", ["-c", "%F %a", "\(folder)/new"]).checked().outputLines == ["regular file 600"])
        }
    }

    // ---- in memory -----------------------------------------------------------------------------------------------

    private func seal(_ content: [UInt8], _ identity: AgeIdentity) throws -> [UInt8] {
        try through(content) { input, output in try Sealing.seal(input, to: output, for: [identity.recipient]) }
    }

    private func open(_ sealed: [UInt8], _ identity: AgeIdentity) throws -> [UInt8] {
        try through(sealed) { input, output in try Sealing.open(input, to: output, with: [identity]) }
    }

    private func through(_ bytes: [UInt8], _ body: (Int32, Int32) throws -> Void) throws -> [UInt8] {
        let input = unnamedFile("in"), output = unnamedFile("out")
        defer {
            close(input)
            close(output)
        }
        try #require(unsafe pwrite(input, bytes, bytes.count, 0) == bytes.count)
        try body(input, output)
        var status = stat()
        _ = unsafe fstat(output, &status)
        var out = [UInt8](repeating: 0, count: Int(status.st_size))
        try #require(unsafe pread(output, &out, out.count, 0) == out.count)
        return out
    }

    private func unnamedFile(_ name: String) -> Int32 {
        let path = "\(makeTemporaryDirectory())"
        defer { removeTree(path) }
        return unsafe Glibc.open("\(path)/\(name)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    }
}

extension Range<Int> {
    /// The same range in another type.
    init(uncheckedInts range: Range<UInt64>) { self = Int(range.lowerBound)..<Int(range.upperBound) }
}
