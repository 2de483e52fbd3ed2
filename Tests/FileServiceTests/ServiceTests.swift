import FileService
import Glibc
import Machine
import Telemetry
import TestSupport
import Testing

@Suite("Service", .serialized)
struct ServiceTests {
    @Test("With a token, only who knows it or has a link gets anything")
    func tokens() throws {
        try withServer({ $0.token = "correct-horse" }, files: ["a b": [1], "c": [2]]) { rig in
            let bearer = "Authorization: Bearer correct-horse\r\n"
            for field in [
                "", "Authorization: Bearer wrong\r\n", "Authorization: Basic correct-horse\r\n", bearer + bearer,
            ] {
                let response = try rig.get("/c", field)
                #expect(response.status == 401)
                #expect(response.fields["www-authenticate"]?.hasPrefix("Bearer") == true)
            }
            // Whether a file exists is nobody's business either.
            #expect(try rig.get("/none").status == 401)
            #expect(try rig.get("/c", bearer).body == [2])
            #expect(try rig.get("/c", "authorization: bearer correct-horse\r\n").body == [2])
            let answer = try rig.get("/a%20b?link=60", bearer)
            let link = answer.text.split(separator: "\n").first.map(String.init) ?? ""
            #expect(link.hasPrefix("/a%20b?expires="))
            #expect(try rig.get(link).body == [1])
            // The signature is what others compute, too.
            let expires = try #require(link.split(separator: "&").first?.split(separator: "=").last)
            let openssl = try run(
                "openssl", ["dgst", "-sha256", "-hmac", "correct-horse", "-r"],
                input: Array("spillway link\n\(expires)\n/a b".utf8)
            ).checked().outputText
            #expect(link.hasSuffix("&signature=\(openssl.prefix(64))"))
            let other = link.replacing("/a%20b", with: "/c")
            let later = link.replacing(expires, with: "\(UInt64(expires)! + 1)")
            for forged in [other, later, String(link.dropLast()), link + "0", "/a%20b?expires=\(expires)"] {
                #expect(try rig.get(forged).status == 401, "\(forged)")
            }
            #expect(try rig.get(link + "&link=60").status == 401)
            let old = try run(
                "openssl", ["dgst", "-sha256", "-hmac", "correct-horse", "-r"],
                input: Array("spillway link\n1000\n/c".utf8)
            ).checked().outputText.prefix(64)
            #expect(try rig.get("/c?expires=1000&signature=\(old)").status == 401)
        }
    }

    @Test("Rates limit, and everything arrives all the same")
    func rates() throws {
        let content = sampleBytes(2 << 20, seed: 3)
        for isTotal in [true, false] {
            try withServer(
                { if isTotal { $0.totalRate = 20 << 20 } else { $0.clientRate = 20 << 20 } }, files: ["a": content]
            ) { rig in
                let body = try rig.get("/a").body
                #expect(body == content)
                #expect(try rig.figure("rate_waits") > 0)
            }
        }
    }

    @Test("The access log is a line of JSON for each request, whatever is asked for")
    func accessLog() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/access"
            try withServer({ $0.accessLog = path }, files: ["a": [1, 2, 3]]) { rig in
                _ = try rig.get("/a")
                _ = try rig.get("/\"quoted\\")
                _ = try rig.get("/", method: "HEAD")
                _ = try rig.get("/a?expires=1&signature=0123&b=2")
                try rig.wait("four requests") { try rig.figure("requests") >= 4 }
                _ = rig.server.report()
            }
            let script =
                "import json,sys\nfor l in sys.stdin:\n e=json.loads(l); print(e['method'],e['target'],e['status'],e['client'].split(':')[0])"
            let lines = try run("python3", ["-c", script], input: readFile(path)).checked().outputLines
            // Each was asked for on a connection of its own; which of the loops writes first is open.
            #expect(
                lines.sorted() == [
                    "GET /\"quoted\\ 404 127.0.0.1", "GET /a 200 127.0.0.1",
                    "GET /a?expires=1&signature=-&b=2 200 127.0.0.1", "HEAD / 200 127.0.0.1",
                ])
        }
    }

    @Test("Metrics are sound in both forms and count what was served")
    func metrics() throws {
        try requireTool("promtool")
        try withServer(files: ["a": sampleBytes(50_000, seed: 4), "b": [1]]) { rig in
            for target in ["/a", "/b", "/none"] { _ = try rig.get(target) }
            try rig.wait("three requests") { try rig.figure("requests") == 3 }
            let text = rig.server.metrics(.prometheus)
            let check = try run("promtool", ["check", "metrics"], input: Array(text.utf8))
            #expect(check.status == .exited(0), "\(check.errorText)")
            #expect(text.contains("spillway_serve_requests_total 3\n"))
            #expect(text.contains("spillway_serve_responses_4xx_total 1\n"))
            #expect(text.contains("spillway_serve_file_bytes_total 50000\n"))
            #expect(text.contains("spillway_serve_copied_bytes_total 1\n"))
            #expect(rig.server.metrics(.openMetrics).hasSuffix("# EOF\n"))
        }
    }

    @Test("At the end no connection is taken any more, and responses under way come to their ends")
    func draining() throws {
        let content = [UInt8](repeating: 9, count: 8 << 20)
        try withServer(files: ["a": content]) { rig in
            let idle = try RawClient(rig.endpoint)
            idle.send("GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n\r\n")
            #expect(try idle.response().status == 206)
            let busy = try RawClient(rig.endpoint, receiveBuffer: 65_536)
            busy.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(busy.receive())
            rig.server.drain()
            #expect(idle.rest().isEmpty)
            #expect(!rig.server.hasEnded)
            #expect(try busy.response().body == content)
            #expect(busy.rest().isEmpty)
            try rig.wait("the end") { rig.server.hasEnded }
        }
    }

    @Test("Many slow readers of many files take little memory")
    func slowReaders() throws {
        let count = 24, length = 8 << 20
        var files: [String: [UInt8]] = [:]
        let content = [UInt8](repeating: 9, count: length)
        for number in 0..<count { files["f\(number)"] = content }
        try withServer(files: files) { rig in
            for number in 0..<count { try evict("\(rig.folder)/f\(number)") }
            let clients = try (0..<count).map { number in
                let client = try RawClient(rig.endpoint, receiveBuffer: 65_536)
                client.send("GET /f\(number) HTTP/1.1\r\nHost: x\r\n\r\n")
                return client
            }
            for client in clients { #expect(client.receive()) }
            try rig.wait("all of them to be stuck") {
                let waits = try rig.figure("socket_waits")
                usleep(200_000)
                return try waits >= count && rig.figure("socket_waits") == waits
            }
            // What was read ahead and is in sockets: a megabyte for each, of eight.
            let resident = try (0..<count).reduce(0) { try $0 + residentBytes("\(rig.folder)/f\($1)") }
            #expect(resident <= count << 20, "\(resident >> 20) MiB")
            #expect(try clients[0].response().body == content)
        }
    }

    @Test("Helpers bring in what is not in memory, as many as there is work for, and the metrics say so")
    func helpers() throws {
        try withServer({ $0.helpers = 4 }, files: ["f": sampleBytes(6 << 20, seed: 1)]) { rig in
            func gauge(_ name: String) throws -> Double {
                let line = rig.server.metrics(.prometheus).split(separator: "\n").first {
                    $0.hasPrefix("spillway_serve_\(name) ")
                }
                return try #require(line?.split(separator: " ").last.flatMap { Double($0) })
            }
            #expect(try gauge("helper_threads") == 1)
            #expect(try gauge("helper_loaded_bytes") == 0)
            try evict("\(rig.folder)/f")
            #expect(try rig.get("/f").body == sampleBytes(6 << 20, seed: 1))
            // All of it, but for what the kernel may have read ahead of the last parts.
            #expect((1...Double(6 << 20)).contains(try gauge("helper_loaded_bytes")))
            // Whoever takes a job first starts a successor if nobody else waits.
            #expect((2...4).contains(try gauge("helper_threads_peak")))
        }
    }

    private func evict(_ path: String) throws {
        let file = unsafe open(path, O_RDONLY)
        defer { close(file) }
        let evicted = try evictFromPageCache(file) { try residentBytes(path) }
        try require(evicted, orSkip: "the temporary folder's file system keeps its files in memory")
    }

    private func residentBytes(_ path: String) throws -> Int {
        try Int(
            run("fincore", ["-b", "-n", "-r", "-o", "RES", path]).checked().outputLines[0].filter { !$0.isWhitespace })
            ?? 0
    }
}
