import FileService
import Glibc
import Machine
import TestSupport
import Testing

@Suite("Fetching", .serialized)
struct FetchTests {
    private func fetch(_ arguments: [String], environment: [String: String?] = [:]) throws -> CommandResult {
        try run(
            builtExecutable("spillway"), ["fetch"] + arguments, environment: environment, timeLimit: .seconds(60))
    }

    @Test("Whole files, ranges of them, and what the program says about what it cannot have")
    func plain() throws {
        let content = sampleBytes(300_000, seed: 1)
        try withServer(files: ["a": content, "empty": []]) { rig in
            try withTemporaryDirectory { out in
                let url = "\(rig.url)/a"
                let result = try run(
                    builtExecutable("spillway"), ["fetch", url, "--report", "-"], directory: out
                ).checked()
                #expect(try readFile("\(out)/a") == content)
                #expect(result.outputText.contains("\"bytes\": 300000"))
                let ranges = ["0-0": 0..<1, "1000-": 1000..<300_000, "-5": 299_995..<300_000, "100-199": 100..<200]
                for (text, range) in ranges {
                    try fetch([url, "--range", text, "-o", "\(out)/r"]).checked()
                    #expect(try readFile("\(out)/r") == Array(content[range]))
                }
                try fetch(["\(rig.url)/empty", "-o", "\(out)/e"]).checked()
                #expect(try readFile("\(out)/e").isEmpty)
                #expect(try directoryEntries(out).sorted() == ["a", "e", "r"])
                let wrong: [([String], Int32)] = [
                    (["\(rig.url)/none", "-o", "\(out)/n"], 66), (["https://x/a"], 64), (["\(rig.url)/"], 64),
                    (["http://127.0.0.1:1/a", "-o", "\(out)/n"], 69), ([url, "--range", "9-3", "-o", "\(out)/n"], 64),
                    ([url, "-o", "\(out)/missing/n"], 73), ([url, "--range", "400000-", "-o", "\(out)/n"], 64),
                    ([url, "--identity", "\(out)/none", "-o", "\(out)/n"], 66),
                ]
                for (arguments, code) in wrong { #expect(try fetch(arguments).status == .exited(code), "\(arguments)") }
                #expect(!(try directoryEntries(out)).contains { $0.hasPrefix("n") })
            }
        }
    }

    @Test("What is there and no file is written, not replaced: a pipe, and what a link leads to")
    func otherThanFiles() throws {
        let content = sampleBytes(300_000, seed: 1)
        try withServer(files: ["a": content]) { rig in
            try withTemporaryDirectory { out in
                try run("mkfifo", ["\(out)/pipe"]).checked()
                try run("ln", ["-s", "target", "\(out)/link"]).checked()
                try writeFile("\(out)/target", [1])
                let words = "\(try builtExecutable("spillway")) fetch \(rig.url)/a -o"
                let piped = try run("sh", ["-c", "cat \(out)/pipe & \(words) \(out)/pipe >/dev/null; wait"]).checked()
                #expect(piped.output == content)
                try fetch(["\(rig.url)/a", "-o", "\(out)/link"]).checked()
                #expect(try readFile("\(out)/target") == content)
                let kinds = try run("stat", ["-c", "%F", "\(out)/pipe", "\(out)/link"]).checked().outputLines
                #expect(kinds == ["fifo", "symbolic link"])
            }
        }
    }

    @Test("Another range or coding than was asked for, and a part of somebody else's: nothing is written")
    func strangeAnswers() throws {
        let server = """
            import socket, sys
            s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True)
            for head in sys.argv[1:]:
                c, _ = s.accept(); c.recv(9999)
                c.sendall(b"HTTP/1.1 206 P\\r\\nContent-Length: 5\\r\\n" + head.encode() + b"\\r\\n\\r\\nhello"); c.close()
            """
        try withTemporaryDirectory { out in
            let heads = [
                "Content-Range: bytes 0-4/5", "Content-Range: bytes 2-6/99",
                "Content-Range: bytes 2-6/7\r\nContent-Encoding: gzip",
            ]
            try withChild("python3", ["-c", server] + heads) { child in
                try child.waitUntil { output, _ in output.contains("\n") }
                let authority = "127.0.0.1:\(child.outputText.prefix { $0.isNumber })"
                for _ in heads {
                    let result = try fetch(["http://\(authority)/f", "--range", "2-3", "-o", "\(out)/f"])
                    #expect(result.status == .exited(65) && result.errorText.contains("\(authority)/f: "))
                    #expect(!(try directoryEntries(out)).contains("f"))
                }
            }
            try withServer(files: ["a": [1, 2, 3]]) { rig in
                try writeFile("\(out)/victim", [9])
                try run("ln", ["-s", "victim", "\(out)/a.part"]).checked()
                let result = try fetch(["\(rig.url)/a", "-o", "\(out)/a"])
                #expect(result.status == .exited(73) && result.errorText.contains("a.part"))
                #expect(try readFile("\(out)/victim") == [9])
            }
        }
    }

    @Test("With a token")
    func token() throws {
        try withServer({ $0.token = "correct-horse" }, files: ["a": [1]]) { rig in
            try withTemporaryDirectory { out in
                let arguments = ["\(rig.url)/a", "-o", "\(out)/a"]
                #expect(try fetch(arguments, environment: ["SPILLWAY_TOKEN": nil]).status == .exited(77))
                try fetch(arguments, environment: ["SPILLWAY_TOKEN": "correct-horse"]).checked()
                #expect(try readFile("\(out)/a") == [1])
            }
        }
    }

    @Test("What was broken off by kill -9 goes on where it was, sealed or not", arguments: [false, true])
    func resume(isSealed: Bool) throws {
        let content = sampleBytes(3 << 20, seed: 2)
        try withServer({ $0.totalRate = 12 << 20 }) { rig in
            try withTemporaryDirectory { out in
                let key = try key(in: out)
                try writeFile("\(out)/plain", content)
                try put(isSealed ? "\(out)/plain" : nil, content, "\(rig.folder)/file", key)
                var arguments = ["\(rig.url)/file", "-o", "\(out)/got", "--report", "-"]
                if isSealed { arguments += ["--identity", "\(out)/key"] }
                for _ in 0..<2 {
                    let before = size("\(out)/got.part")
                    try withChild(builtExecutable("spillway"), ["fetch"] + arguments) { child in
                        try rig.wait("some of the file") { size("\(out)/got.part") > before + 400_000 }
                        child.send(signal: SIGKILL)
                        _ = try child.wait()
                    }
                }
                let there = size("\(out)/got.part")
                #expect(there >= 800_000 && there < content.count)
                let result = try fetch(arguments).checked()
                #expect(try readFile("\(out)/got") == content)
                let resumed = try #require(
                    Int(result.outputText.split(separator: "\"resumed\": ")[1].prefix { $0.isNumber }))
                #expect(resumed > there - 65_536 && resumed <= there)
            }
        }
    }

    @Test("An original that was changed meanwhile is fetched anew, not pasted to the old part")
    func changed() throws {
        let old = sampleBytes(1 << 20, seed: 3), new = sampleBytes(1 << 20, seed: 4)
        try withServer(files: ["a": new]) { rig in
            try withTemporaryDirectory { out in
                try writeFile("\(out)/a.part", Array(old[..<500_000]))
                try writeFile("\(out)/a.part.tag", Array("\"some-other-state\"\n".utf8))
                try fetch(["\(rig.url)/a", "-o", "\(out)/a"]).checked()
                #expect(try readFile("\(out)/a") == new)
            }
        }
    }

    @Test("Any range of a sealed file is opened out of the chunks it lies in, each checked")
    func sealedRanges() throws {
        let content = sampleBytes(400_000, seed: 5)
        try withServer { rig in
            try withTemporaryDirectory { out in
                let key = try key(in: out)
                try writeFile("\(out)/plain", content)
                try put("\(out)/plain", content, "\(rig.folder)/a.age", key)
                let identity = ["\(rig.url)/a.age", "--identity", "\(out)/key", "--report", "-", "-o", "\(out)/got"]
                let cases: [(String, Range<Int>, Int)] = [
                    ("0-0", 0..<1, 1), ("65535-65536", 65_535..<65_537, 2), ("65536-131071", 65_536..<131_072, 1),
                    ("-1", 399_999..<400_000, 1), ("393216-", 393_216..<400_000, 1), ("0-399999", 0..<400_000, 7),
                    ("393000-900000", 393_000..<400_000, 2),
                ]
                for (text, range, chunks) in cases {
                    let result = try fetch(identity + ["--range", text]).checked()
                    #expect(try readFile("\(out)/got") == Array(content[range]), "\(text)")
                    #expect(result.outputText.contains("\"chunks\": \(chunks),"), "\(text)")
                }
                // A bit turned in the fourth chunk: chunks before it are good, and nothing of it is written.
                var bytes = try readFile("\(rig.folder)/a.age")
                bytes[bytes.count - 150_000] ^= 4
                try writeFile("\(rig.folder)/a.age", bytes)
                #expect(unsafe unlink("\(out)/got") == 0)
                #expect(try fetch(identity).status == .exited(65))
                #expect(!(try directoryEntries(out)).contains("got"))
                #expect(Array(content[..<size("\(out)/got.part")]) == (try readFile("\(out)/got.part")))
                try fetch(identity + ["--range", "0-1000"]).checked()
                #expect(try readFile("\(out)/got") == Array(content[...1000]))
                try run(builtExecutable("spillway"), ["keygen", "-o", "\(out)/other"]).checked()
                let wrong = ["\(rig.url)/a.age", "--identity", "\(out)/other", "-o", "\(out)/w"]
                #expect(try fetch(wrong).status == .exited(65))
            }
        }
    }

    /// A new key in `key`; the recipient.
    private func key(in folder: String) throws -> String {
        try run(builtExecutable("spillway"), ["keygen", "-o", "\(folder)/key"]).checked().outputLines[0]
    }

    private func put(_ plain: String?, _ content: [UInt8], _ path: String, _ recipient: String) throws {
        guard let plain else { return try writeFile(path, content) }
        try run(builtExecutable("spillway"), ["seal", plain, "--to", recipient, "-o", path]).checked()
    }

    private func size(_ path: String) -> Int {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}
