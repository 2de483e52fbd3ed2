import FileService
import Glibc
import Machine
import Sending
import TestSupport
import Testing

@Suite("Files", .serialized)
struct FileTests {
    static let content = sampleBytes(100_000, seed: 1)
    static let files: [String: [UInt8]] = [
        "a.pcap": content, "small.txt": Array("hello\n".utf8), "empty": [], "sub/b.txt": Array("b".utf8),
        "packed.txt": Array("plain text".utf8), "packed.txt.gz": Array("gzip form".utf8),
        "packed.txt.zst": Array("zstd form".utf8), "name with blanks & <tags>.txt": Array("x".utf8),
    ]

    @Test(
        "Whole files by curl, over IPv4 and IPv6, by every method", arguments: ["sendfile", "splice", "mmap", "copy"])
    func whole(method: String) throws {
        try requireTool("curl")
        try withServer(
            {
                $0.method = .init(name: method)!
                $0.listen.append(Endpoint(addressHigh: 0, addressLow: UInt64(1).bigEndian, port: 0))
            }, files: Self.files
        ) { rig in
            for endpoint in rig.server.endpoints {
                for name in ["a.pcap", "small.txt", "empty", "sub/b.txt"] {
                    let result = try run("curl", ["-sSf", "--max-time", "20", "http://\(endpoint)/\(name)"]).checked()
                    #expect(result.output == Self.files[name]!)
                }
            }
        }
    }

    @Test("Heads say what a file is, and HEAD says it without the file")
    func heads() throws {
        try withServer(files: Self.files) { rig in
            let get = try rig.get("/a.pcap")
            var head = try rig.get("/a.pcap", method: "HEAD")
            #expect(get.status == 200 && head.status == 200)
            head.fields["date"] = get.fields["date"]
            #expect(head.fields == get.fields)
            #expect(get.fields["content-type"] == "application/vnd.tcpdump.pcap")
            #expect(get.fields["content-length"] == "100000")
            #expect(get.fields["accept-ranges"] == "bytes")
            #expect(try rig.get("/small.txt").fields["content-type"] == "text/plain; charset=utf-8")
            #expect(try rig.get("/empty").fields["content-type"] == "application/octet-stream")
            let date = try run(
                "date", ["-u", "-r", "\(rig.folder)/a.pcap", "+%a, %d %b %Y %H:%M:%S GMT"],
                environment: ["LC_ALL": "C"]
            ).checked().outputLines[0]
            #expect(get.fields["last-modified"] == date)
        }
    }

    static let ranges: [(String, Range<Int>)] = [
        ("0-0", 0..<1), ("5-", 5..<100_000), ("-1", 99_999..<100_000), ("99999-", 99_999..<100_000),
        ("0-99999", 0..<100_000), ("0-99999999999999999999", 0..<100_000), ("-100001", 0..<100_000),
        ("777-66666", 777..<66_667), ("16380-16390", 16_380..<16_391),
    ]

    @Test("Ranges: the same bytes as out of the file itself")
    func singleRange() throws {
        try withServer(files: Self.files) { rig in
            for (field, range) in Self.ranges {
                let response = try rig.get("/a.pcap", "Range: bytes=\(field)\r\n")
                #expect(response.status == 206)
                #expect(response.body == Array(Self.content[range]), "\(field)")
                let part = "bytes \(range.lowerBound)-\(range.upperBound - 1)/100000"
                #expect(response.fields["content-range"] == part, "\(field)")
            }
        }
    }

    @Test("Ranges that lie outside are refused, and what is no range is ignored")
    func otherRanges() throws {
        try withServer(files: Self.files) { rig in
            for field in ["100000-", "200000-300000", "-0"] {
                let response = try rig.get("/a.pcap", "Range: bytes=\(field)\r\n")
                #expect(response.status == 416, "\(field)")
                #expect(response.fields["content-range"] == "bytes */100000")
            }
            let many = (0..<65).map { "\($0 * 10)-\($0 * 10 + 1)" }.joined(separator: ",")
            for field in ["bytes=5-3", "bytes=x-", "lines=1-2", "bytes=", "bytes=1", "bytes=--1", "bytes=\(many)"] {
                let response = try rig.get("/a.pcap", "Range: \(field)\r\n")
                #expect(response.status == 200, "\(field)")
                #expect(response.body == Self.content)
            }
            #expect(try rig.get("/empty", "Range: bytes=0-\r\n").status == 416)
        }
    }

    @Test("Several ranges come as parts in the order asked for; what overlaps comes once")
    func manyRanges() throws {
        try withServer(files: Self.files) { rig in
            let apart = try parts(try rig.get("/a.pcap", "Range: bytes=50000-70000, 10-19,-5\r\n"))
            #expect(
                apart.map(\.range) == ["bytes 50000-70000/100000", "bytes 10-19/100000", "bytes 99995-99999/100000"])
            #expect(apart.map(\.body) == [50_000..<70_001, 10..<20, 99_995..<100_000].map { Array(Self.content[$0]) })
            let merged = try parts(try rig.get("/a.pcap", "Range: bytes=100-199,150-299,1000-1001\r\n"))
            #expect(merged.map(\.body) == [100..<300, 1000..<1002].map { Array(Self.content[$0]) })
            let curl = try run("curl", ["-sSf", "-r", "0-9,20-29", "\(rig.url)/a.pcap"]).checked()
            #expect(curl.output.count > 20)
        }
    }

    /// Takes a multipart/byteranges body apart.
    private func parts(_ response: Response) throws -> [(range: String, body: [UInt8])] {
        #expect(response.status == 206)
        let type = try #require(response.fields["content-type"])
        let boundary = try #require(type.split(separator: "=").last)
        #expect(type.hasPrefix("multipart/byteranges;"))
        let bytes = response.body
        let mark = Array("\r\n--\(boundary)".utf8)
        var places = (0...(bytes.count - mark.count)).filter {
            bytes[$0] == 0x0D && Array(bytes[$0..<($0 + mark.count)]) == mark
        }
        let end = places.popLast()
        let last = try #require(end)
        #expect(Array(bytes[(last + mark.count)...]) == Array("--\r\n".utf8))
        return try zip(places, places.dropFirst() + [last]).map { start, end in
            let part = Array(bytes[(start + mark.count + 2)..<end])
            let text = try #require((0..<part.count - 3).first { Array(part[$0..<($0 + 4)]) == [13, 10, 13, 10] })
            let head = Response("x 206 x\r\n" + String(decoding: part[..<text], as: UTF8.self))
            return (head.fields["content-range"] ?? "", Array(part[(text + 4)...]))
        }
    }

    @Test("Conditions")
    func conditions() throws {
        try withServer(files: Self.files) { rig in
            let first = try rig.get("/a.pcap")
            let tag = try #require(first.fields["etag"]), date = try #require(first.fields["last-modified"])
            let old = "Sun, 06 Nov 1994 08:49:37 GMT"
            func status(_ fields: String) throws -> Int { try rig.get("/a.pcap", fields).status }
            #expect(try status("If-None-Match: \(tag)\r\n") == 304)
            #expect(try status("If-None-Match: \"x\", W/\(tag)\r\n") == 304)
            #expect(try status("If-None-Match: *\r\n") == 304)
            #expect(try status("If-None-Match: \"x\"\r\nIf-Modified-Since: \(date)\r\n") == 200)
            #expect(try status("If-Modified-Since: \(date)\r\n") == 304)
            #expect(try status("If-Modified-Since: \(old)\r\n") == 200)
            #expect(try status("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n") == 200)
            #expect(try status("If-Modified-Since: Sun Nov  6 08:49:37 2094\r\n") == 304)
            #expect(try status("If-Modified-Since: nonsense\r\n") == 200)
            #expect(try status("If-Match: \(tag)\r\n") == 200)
            #expect(try status("If-Match: W/\(tag)\r\n") == 412)
            #expect(try status("If-Match: \"x\"\r\n") == 412)
            #expect(try status("If-Unmodified-Since: \(old)\r\n") == 412)
            #expect(try status("Range: bytes=0-1\r\nIf-Range: \(tag)\r\n") == 206)
            #expect(try status("Range: bytes=0-1\r\nIf-Range: \(date)\r\n") == 206)
            #expect(try status("Range: bytes=0-1\r\nIf-Range: \"x\"\r\n") == 200)
            #expect(try status("Range: bytes=0-1\r\nIf-Range: W/\(tag)\r\n") == 200)
            #expect(try status("Range: bytes=0-1\r\nIf-None-Match: \(tag)\r\n") == 304)
            // Another content of the same length at the same second is another state.
            var times = [timespec(tv_sec: 1000, tv_nsec: 1), timespec(tv_sec: 1000, tv_nsec: 2)]
            _ = unsafe utimensat(AT_FDCWD, "\(rig.folder)/a.pcap", &times, 0)
            #expect(try status("If-None-Match: \(tag)\r\n") == 200)
        }
    }

    @Test("Files in a content coding go to who accepts it, and ranges are of the plain file")
    func siblings() throws {
        try withServer(files: Self.files) { rig in
            func get(_ field: String) throws -> [String?] {
                let response = try rig.get("/packed.txt", field)
                #expect(response.fields["content-type"] == "text/plain; charset=utf-8")
                return [response.text, response.fields["content-encoding"]]
            }
            let plain = try get("")
            #expect(plain == ["plain text", nil])
            #expect(try get("Accept-Encoding: gzip\r\n") == ["gzip form", "gzip"])
            #expect(try get("Accept-Encoding: gzip, zstd, br\r\n") == ["zstd form", "zstd"])
            #expect(try get("Accept-Encoding: *\r\n") == ["zstd form", "zstd"])
            #expect(try get("Accept-Encoding: zstd;q=0, gzip;q=0.5\r\n") == ["gzip form", "gzip"])
            #expect(try get("Accept-Encoding: br\r\n") == ["plain text", nil])
            #expect(try get("Accept-Encoding: gzip\r\nRange: bytes=0-4\r\n") == ["plain", nil])
        }
    }

    @Test("A directory is a page with links that lead to its files, or JSON")
    func index() throws {
        try withServer(files: Self.files) { rig in
            try writeFile("\(rig.folder)/.hidden", [1])
            let page = try rig.get("/")
            #expect(page.fields["content-type"] == "text/html; charset=utf-8")
            #expect(page.text.contains("name with blanks &amp; &lt;tags&gt;.txt"))
            #expect(!page.text.contains("hidden"))
            let links = page.text.split(separator: "href=\"").dropFirst().map { $0.prefix { $0 != "\"" } }
            #expect(links.count == 8)
            for link in links { #expect(try rig.get("/\(link.dropFirst(2))").status == 200, "\(link)") }
            let json = try rig.get("/", "Accept: application/json\r\n")
            #expect(json.fields["content-type"] == "application/json")
            let names = try run(
                "python3",
                [
                    "-c",
                    "import json,sys;print('\\n'.join(f\"{e['name']} {e['size']}\" for e in json.load(sys.stdin)))",
                ], input: json.body
            ).checked().outputLines
            let sizes = Self.files.filter { !$0.key.contains("/") }.map { "\($0.key) \($0.value.count)" }
            #expect(Set(names) == Set(sizes + ["sub None"]))
            #expect(try rig.get("/sub").fields["location"] == "./sub/")
            #expect(try rig.get("/sub").status == 301)
            #expect(try rig.get("/sub/?format=json").text.contains("\"b.txt\""))
            #expect(try rig.get("/small.txt/").status == 404)
        }
    }

    @Test("Requests one behind the other on one connection are answered in their order, also when they come at once")
    func pipelining() throws {
        try withServer(files: Self.files) { rig in
            let client = try RawClient(rig.endpoint)
            let targets = (0..<60).map { ["/small.txt", "/a.pcap", "/none", "/sub/", "/empty"][$0 % 5] }
            client.send(targets.map { "GET \($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
            for target in targets {
                let response = try client.response()
                switch target {
                case "/small.txt": #expect(response.text == "hello\n")
                case "/a.pcap": #expect(response.body == Self.content)
                case "/none": #expect(response.status == 404)
                case "/sub/": #expect(response.text.contains("b.txt"))
                default: #expect(response.status == 200 && response.body.isEmpty)
                }
            }
            // A body that belongs to a request is not taken for the next one.
            client.send(
                "GET /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /secret HTTP/1.1\r\nHost: x\r\n")
            client.send("GET /sub/b.txt HTTP/1.0\r\n\r\n")
            #expect(try client.response().text == "hello\n")
            #expect(try client.response().text == "b")
            #expect(client.rest().isEmpty)
        }
    }

    @Test("What is done to a file is seen by the next request, however often it was asked for before")
    func changes() throws {
        try withServer({ $0.loops = 1 }, files: ["a": [1, 1], "other": [3, 3], "d/x": [8]]) { rig in
            let path = "\(rig.folder)/a"
            let client = try RawClient(rig.endpoint)
            func get(_ target: String = "/a") throws -> Response {
                client.send("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
                return try client.response()
            }
            for round in UInt8(0)..<20 {
                for _ in 0..<3 { #expect(try get().status == 200) }
                // Written in place, to the same length.
                let file = unsafe open(path, O_WRONLY)
                let bytes = [round, 2]
                #expect(unsafe pwrite(file, bytes, 2, 0) == 2)
                close(file)
                #expect(try get().body == bytes)
                // Longer, replaced, moved away, removed, and back.
                try writeFile(path, bytes + [9])
                #expect(try get().body == bytes + [9])
                try writeFile("\(path).new", [round])
                #expect(unsafe rename("\(path).new", path) == 0)
                #expect(try get().body == [round])
                #expect(unsafe rename(path, "\(path).away") == 0)
                #expect(try get().status == 404)
                try writeFile(path, [7, round])
                #expect(try get().body == [7, round])
                #expect(unsafe unlink(path) == 0)
                #expect(try get().status == 404)
                try writeFile(path, [5, round])
            }
            // The way to a file is believed for a moment only.
            #expect(try get("/d/x").body == [8])
            #expect(unsafe rename("\(rig.folder)/d", "\(rig.folder)/e") == 0)
            try rig.wait("the new way") { try get("/d/x").status == 404 }
        }
    }

    @Test("A file that is cut while it is sent ends the connection, and nobody takes the part for the whole")
    func shrinking() throws {
        let long = [UInt8](repeating: 7, count: 40 << 20)
        try withServer(files: ["long": long, "small": [1]]) { rig in
            let client = try RawClient(rig.endpoint, receiveBuffer: 65_536)
            client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(client.receive())
            #expect(unsafe truncate("\(rig.folder)/long", 1 << 20) == 0)
            let got = client.rest()
            #expect(got.count < long.count)
            try rig.wait("the counter") { try rig.figure("shrunk") == 1 }
            #expect(try rig.get("/small").body == [1])
        }
    }
}
