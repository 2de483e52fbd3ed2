import FileService
import Glibc
import Machine
import TestSupport
import Testing

@Suite("Hostile clients", .serialized)
struct HostileTests {
    @Test("Nothing outside the directory, and no dot file, can be had")
    func escapes() throws {
        try withTemporaryDirectory { outside in
            try writeFile("\(outside)/secret", Array("secret".utf8))
            try withServer(files: ["in.txt": [65], "sub/x": [66], ".hidden": [67], "sub/.git": [68]]) { rig in
                let links = [
                    "absolute": "\(outside)/secret", "up": "../\(outside.split(separator: "/").last!)/secret",
                    "directory": outside, "magic": "/proc/self/root/etc/passwd", "loop": "loop",
                ]
                for (name, target) in links { #expect(unsafe symlink(target, "\(rig.folder)/\(name)") == 0) }
                #expect(unsafe symlink("sub/x", "\(rig.folder)/inside") == 0)
                #expect(unsafe mkfifo("\(rig.folder)/pipe", 0o600) == 0)
                let name = outside.split(separator: "/").last!
                let targets = [
                    "/absolute", "/up", "/directory/secret", "/magic", "/loop", "/pipe", "/.hidden", "/sub/.git",
                    "/%2ehidden",
                    "/../\(name)/secret", "/sub/../../\(name)/secret", "/%2e%2e/\(name)/secret",
                    "/..%2f\(name)%2fsecret",
                    "/sub/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/\(outside)/secret", "/./in.txt",
                    "/in.txt%00.pcap",
                    "/in.txt/", "/in.txt/x", "/%", "/%4", "/%zz", "/" + String(repeating: "a", count: 5000),
                    "/" + String(repeating: "a/", count: 3000), "in.txt", "*", "/%ff%fe",
                ]
                for target in targets {
                    let response = try rig.get(target)
                    #expect([400, 403, 404].contains(response.status), "\(target.prefix(40)): \(response.status)")
                    #expect(!response.text.contains("secret") && !response.text.contains("root:"), "\(target)")
                    #expect(!response.text.contains(target), "a path in an answer: \(target)")
                }
                #expect(try rig.get("/inside").body == [66])
                #expect(try rig.get("/in.txt").body == [65])
                #expect(try rig.get("http://else/in.txt").body == [65])
            }
        }
    }

    /// What two servers in a row could understand differently, and what is not HTTP at all.
    static let malformed: [(String, Int)] = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET /\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n", 400),
    ]

    @Test("What is not HTTP, or HTTP in two ways, is refused, and nothing behind it is believed")
    func smuggling() throws {
        try withServer(files: ["a": [1]]) { rig in
            for (text, status) in Self.malformed {
                let client = try RawClient(rig.endpoint)
                client.send(text + "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                let response = try client.response()
                #expect(response.status == status, "\(text)")
                #expect(response.fields["connection"] == "close", "\(text)")
                // One answer and the end: what follows was thrown away.
                #expect(client.rest().isEmpty, "\(text)")
            }
            #expect(try rig.get("/a").body == [1])
        }
    }

    @Test("Heads that are too long, or have too many fields, are refused, however they come")
    func bombs() throws {
        try withServer(files: ["a": [1]]) { rig in
            let long = "GET /a HTTP/1.1\r\nHost: x\r\nX: " + String(repeating: "y", count: 20_000)
            let many = "GET /a HTTP/1.1\r\nHost: x\r\n" + (0..<200).map { "X\($0): y\r\n" }.joined()
            for (bomb, status) in [
                (long, 431), (long + "\r\n\r\n", 431), (many + "\r\n", 431),
                (String(repeating: "\r\n", count: 9000), 400),
            ] {
                let client = try RawClient(rig.endpoint)
                for piece in stride(from: 0, to: bomb.utf8.count, by: 1000) {
                    client.send(Array(Array(bomb.utf8)[piece..<min(piece + 1000, bomb.utf8.count)]))
                }
                client.endSending()
                let head = String(decoding: client.rest().prefix(12), as: UTF8.self)
                #expect(head == "HTTP/1.1 \(status)" || client.isReset, "\(bomb.prefix(40)): \(head)")
            }
            // As much as there may be.
            let fields = (0..<62).map { "X\($0): \(String(repeating: "y", count: 200))\r\n" }.joined()
            #expect(try rig.get("/a", fields).body == [1])
        }
    }

    @Test("Thousands of requests with changed bytes: each is answered or refused, and the next one is served")
    func mutations() throws {
        try withServer(files: ["a": [1]]) { rig in
            let request = Array(
                "GET /a?follow=0&from=1 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1,2-\r\nContent-Length: 3\r\nIf-Range: \"x\"\r\n\r\nabc"
                    .utf8)
            var random = SystemRandomNumberGenerator()
            for _ in 0..<2000 {
                var changed = request
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: changed.indices, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: changed[place] = UInt8.random(in: 0...255, using: &random)
                    case 1: changed.remove(at: place)
                    default: changed.insert(changed.randomElement(using: &random)!, at: place)
                    }
                }
                let client = try RawClient(rig.endpoint)
                client.send(changed)
                client.endSending()
                let answer = client.rest()
                #expect(answer.isEmpty || answer.starts(with: "HTTP/1.1 ".utf8), "\(changed)")
            }
            #expect(try rig.get("/a").body == [1])
        }
    }

    @Test("A request may come byte by byte")
    func byteByByte() throws {
        try withServer(files: ["a": [1]]) { rig in
            let client = try RawClient(rig.endpoint)
            for byte in "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n".utf8 {
                client.send([byte])
                usleep(300)
            }
            #expect(try client.response().body == [1])
        }
    }

    @Test("Methods that change something are not allowed, and OPTIONS says which are")
    func methods() throws {
        try withServer(files: ["a": [1]]) { rig in
            for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"] {
                let client = try RawClient(rig.endpoint)
                client.send(
                    "\(method) \(method == "CONNECT" ? "a:1" : "/a") HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                let response = try client.response()
                #expect(response.status == 405, "\(method)")
                #expect(response.fields["allow"] == "GET, HEAD, OPTIONS")
            }
            #expect(try rig.get("/a", method: "OPTIONS").fields["allow"] == "GET, HEAD, OPTIONS")
        }
    }

    @Test("Who is slow with a head, idle, or does not read, is let go of")
    func slow() throws {
        let long = [UInt8](repeating: 7, count: 64 << 20)
        try withServer(
            {
                $0.headTimeout = 200_000_000
                $0.idleTimeout = 200_000_000
                $0.sendTimeout = 300_000_000
            }, files: ["long": long, "a": [1]]
        ) { rig in
            let slow = try RawClient(rig.endpoint)
            slow.send("GET /a HTTP/1.1\r\nHost")
            #expect(try slow.response().status == 408)
            // A body that does not come.
            let bodiless = try RawClient(rig.endpoint)
            bodiless.send("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
            #expect(try bodiless.response().body == [1])
            #expect(bodiless.rest().isEmpty)
            let mute = try RawClient(rig.endpoint)
            #expect(mute.rest().isEmpty)
            let idle = try RawClient(rig.endpoint)
            idle.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try idle.response().body == [1])
            #expect(idle.rest().isEmpty)
            let lazy = try RawClient(rig.endpoint, receiveBuffer: 65_536)
            lazy.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            try rig.wait("the end of the reader that does not read") { try rig.figure("broken") == 1 }
            #expect(lazy.rest().count < long.count)
            #expect(try rig.figure("timeouts") == 4)
        }
    }

    @Test("There are only so many connections, in all and for each client")
    func connectionLimits() throws {
        for isTotal in [true, false] {
            try withServer(
                { if isTotal { $0.connections = 3 } else { $0.clientConnections = 3 } }, files: ["a": [1]]
            ) { rig in
                var clients = try (0..<3).map { _ in try RawClient(rig.endpoint) }
                for client in clients {
                    client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.response().status == 200)
                }
                let extra = try RawClient(rig.endpoint)
                #expect(String(decoding: extra.rest(), as: UTF8.self).hasPrefix("HTTP/1.1 503 "))
                #expect(try rig.figure("refused_connections") == 1)
                clients.removeLast()
                try rig.wait("a free place") { (try? rig.get("/a").status) == 200 }
            }
        }
    }
}
