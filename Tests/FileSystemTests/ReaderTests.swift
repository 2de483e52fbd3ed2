import Glibc
import TestSupport
import Testing

@Suite("G, J and K: programs and ways of reading", .timeLimit(.minutes(5)))
struct ReaderTests {
    /// Three files, and the same packets as one file beside them.
    private func mounted(_ options: String = "") throws -> (Mounted, joined: String, bytes: [UInt8]) {
        let files = [capture(0..<900, size: 700), capture(900..<1700, size: 700), capture(1700..<2500, size: 700)]
        let bytes = joinedCaptures(files[0], files[1], files[2])
        let mounted = try Mounted(options) { source in
            for (index, file) in files.enumerated() { try writeFile("\(source)/f\(index + 8)", file) }
            try writeFile("\(source)/.joined", bytes)
        }
        return (mounted, "\(mounted.source)/.joined", bytes)
    }

    @Test("K: programs say the same of a range as of the same packets in one file", arguments: ["", "cached/"])
    func programs(prefix: String) throws {
        let (mounted, joined, bytes) = try mounted()
        let name = mounted.path("\(prefix)f8..f10")
        expectSame(try mounted.cat("\(prefix)f8..f10"), bytes)
        let lines: [(String, [String])] = [
            ("dd", ["if=FILE", "bs=12345", "status=none"]), ("dd", ["if=FILE", "bs=7", "count=500", "status=none"]),
            ("dd", ["if=FILE", "bs=3M", "status=none"]), ("head", ["-c", "100000", "FILE"]),
            ("tcpdump", ["-n", "-tt", "-r", "FILE"]), ("tshark", ["-n", "-r", "FILE", "-l"]),
            ("tshark", ["-n", "-r", "FILE", "-2"]), ("capinfos", ["-M", "-c", "-d", "-s", "-a", "-e", "-K", "FILE"]),
            ("mergecap", ["-a", "-w", "-", "FILE"]), ("editcap", ["-F", "nsecpcap", "FILE", "-"]),
            ("md5sum", ["FILE"]), ("wc", ["-c", "FILE"]), ("tail", ["-c", "1000", "FILE"]),
        ]
        for (tool, arguments) in lines {
            try requireTool(tool)
            func output(_ path: String) throws -> String {
                let words = arguments.map { $0.replacing("FILE", with: path) }
                return try run(tool, words).checked().outputText.replacing(path, with: "FILE")
            }
            let (found, wanted) = try (output(name), output(joined))
            let isSame = found == wanted && !found.isEmpty
            #expect(isSame, "\(tool) \(arguments.joined(separator: " "))")
        }
        try withTemporaryDirectory { folder in
            for tool in ["cp", "editcap"] {
                try run(tool, [name, "\(folder)/\(tool)"]).checked()
                try run(tool, [joined, "\(folder)/\(tool)-joined"]).checked()
                expectSame(try readFile("\(folder)/\(tool)"), try readFile("\(folder)/\(tool)-joined"), tool)
            }
        }
    }

    @Test("K: tcpreplay sends what a range holds")
    func tcpreplay() throws {
        try requireTool("tcpreplay")
        let (mounted, _, _) = try mounted()
        try withNetworkNamespace { space in
            try space.ip("link", "add", "replay0", "type", "veth", "peer", "name", "replay1").checked()
            for link in ["replay0", "replay1"] { try space.ip("link", "set", link, "up").checked() }
            let command = space.inside("tcpreplay", ["-i", "replay0", "-t", mounted.path("f8..f10")])
            let result = try run(command.tool, command.arguments)
            #expect(result.status == .exited(0), "\(result.errorText)")
            #expect((result.outputText + result.errorText).contains("Successful packets:        2500"))
        }
    }

    @Test("K: tcpdump and tshark show packets of a live stream as they come", arguments: ["tcpdump", "tshark"])
    func live(tool: String) throws {
        try requireTool(tool)
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<40)) }
        try withChild(tool, ["-n", "-l", "-r", mounted.path("a")]) { child in
            try child.waitUntil { output, _ in output.split(separator: "\n").count >= 40 }
            try mounted.add("a", Array(capture(40..<45).dropFirst(24)))
            try mounted.put("b", capture(45..<60))
            try child.waitUntil { output, _ in output.split(separator: "\n").count >= 60 }
            #expect(child.isRunning())
        }
    }

    @Test(
        "K: a reader that sets its stdio buffer after the header was read gets every byte, also as a member of a cluster",
        arguments: ["", "clustersize=1/", "cached/"])
    func lateBuffer(prefix: String) throws {
        let (mounted, _, bytes) = try mounted()
        // Suricata's way: libpcap reads the header, then the buffer is made larger.
        let file = unsafe fopen(mounted.path("\(prefix)f8..f10"), "r")!
        defer { unsafe fclose(file) }
        var header = [UInt8](repeating: 0, count: 24)
        #expect(unsafe fread(&header, 1, 24, file) == 24)
        var buffer = [CChar](repeating: 0, count: 131_072)
        unsafe buffer.withUnsafeMutableBufferPointer { buffer in
            #expect(unsafe setvbuf(file, buffer.baseAddress, _IOFBF, buffer.count) == 0)
            var rest = [UInt8](repeating: 0, count: bytes.count)
            let count = unsafe fread(&rest, 1, rest.count, file)
            expectSame(header + rest[..<count], bytes)
            unsafe setvbuf(file, nil, _IONBF, 0)
        }
    }

    @Test("K: Zeek's way: the buffer is set before the first byte is read")
    func earlyBuffer() throws {
        let (mounted, _, bytes) = try mounted()
        let file = unsafe fopen(mounted.path("f8..f10"), "r")!
        defer { unsafe fclose(file) }
        var buffer = [CChar](repeating: 0, count: 131_072)
        unsafe buffer.withUnsafeMutableBufferPointer { buffer in
            #expect(unsafe setvbuf(file, buffer.baseAddress, _IOFBF, buffer.count) == 0)
            var all = [UInt8](repeating: 0, count: bytes.count + 1)
            let count = unsafe fread(&all, 1, all.count, file)
            expectSame(all[..<count], bytes)
            unsafe setvbuf(file, nil, _IONBF, 0)
        }
    }

    @Test("Bytes are the same at any offset, read in any order", arguments: ["", "cached/"])
    func random(prefix: String) throws {
        let (mounted, _, bytes) = try mounted()
        let file = unsafe open(mounted.path("\(prefix)f8..f10"), O_RDONLY)
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 40_000)
        for step in 0..<500 {
            let (offset, size) = (step &* 1_234_577 % bytes.count, 1 + step &* 977 % 40_000)
            let count = unsafe pread(file, &buffer, size, off_t(offset))
            #expect(count == min(size, bytes.count - offset))
            expectSame(buffer[..<max(0, count)], bytes[offset..<offset + max(0, count)], "offset \(offset)")
        }
        #expect(lseek(file, 0, SEEK_END) == bytes.count)
        #expect(lseek(file, -100, SEEK_CUR) == bytes.count - 100)
        expectSame(try readAll(file), bytes.suffix(100))
    }

    @Test(
        "Headers that begin with zeros are no reserved space, wherever a read ends",
        arguments: [1, 7, 13, 16, 24, 4096, 8191, 131_072])
    func zerosInHeaders(size: Int) throws {
        /// Second 0, a second whose least byte is zero, and the least times there are.
        func file(_ numbers: Range<Int>, _ order: ByteOrder) -> [UInt8] {
            var file = ClassicBuilder(order: order)
            for number in numbers {
                file.packet(
                    seconds: [0, 1_700_000_000, 1][number % 3], fraction: UInt32(number % 2),
                    sampleBytes(40 + number % 13, seed: number))
            }
            return file.built("").bytes
        }
        let count = size < 100 ? 60 : 3000
        for order in [ByteOrder.little, .big] {
            let (first, second) = (file(0..<count, order), file(count..<2 * count, order))
            let (block, other) = (captureNG(0..<count, order: order), captureNG(count..<2 * count, order: order))
            let mounted = try Mounted { source in
                try writeFile("\(source)/a1", first)
                try writeFile("\(source)/a2", second)
                try writeFile("\(source)/b1", block)
                try writeFile("\(source)/b2", other)
            }
            for (name, bytes) in [("a1..a2", joinedCaptures(first, second)), ("b1..b2", block + other)] {
                let file = unsafe open(mounted.path(name), O_RDONLY)
                defer { close(file) }
                var (all, buffer): ([UInt8], [UInt8]) = ([], [UInt8](repeating: 0, count: size))
                while true {
                    let count = unsafe read(file, &buffer, size)
                    guard count > 0 else { break }
                    all += buffer[..<count]
                }
                expectSame(all, bytes, "\(name), \(order)")
            }
        }
    }

    @Test("J1: a live stream can be read again behind its end, and reading beyond it is an error")
    func seeking() throws {
        let (mounted, _, bytes) = try mounted()
        let file = unsafe open(mounted.path("f8"), O_RDONLY)
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 1000)
        // Ahead, as far as there is something.
        #expect(unsafe pread(file, &buffer, 1000, off_t(bytes.count - 1000)) == 1000)
        expectSame(buffer, bytes.suffix(1000))
        #expect(unsafe pread(file, &buffer, 1000, 500) == 1000)
        expectSame(buffer, bytes[500..<1500])
        #expect(unsafe pread(file, &buffer, 1000, off_t(bytes.count + 1)) == -1 && errno == EINVAL)
        #expect(unsafe pread(file, &buffer, 1000, 1 << 50) == -1 && errno == EINVAL)
        // A closed range has an end that everybody knows.
        let closed = unsafe open(mounted.path("f8..f10"), O_RDONLY)
        defer { close(closed) }
        #expect(unsafe pread(closed, &buffer, 1000, off_t(bytes.count + 1)) == 0)
    }

    @Test("J3 and J4: O_NONBLOCK gives EAGAIN where others wait, also when it is set later; short reads are short")
    func nonBlocking() throws {
        let file = capture(0..<5)
        let mounted = try Mounted { try writeFile("\($0)/a", file) }
        let reader = unsafe open(mounted.path("a"), O_RDONLY)
        defer { close(reader) }
        var buffer = [UInt8](repeating: 0xEE, count: 4096)
        #expect(unsafe read(reader, &buffer, 4096) == file.count)
        #expect(buffer[file.count...].allSatisfy { $0 == 0xEE })
        #expect(fcntl(reader, F_SETFL, O_NONBLOCK) == 0)
        #expect(unsafe read(reader, &buffer, 4096) == -1 && errno == EAGAIN)
        try mounted.add("a", [1, 2, 3])
        #expect(unsafe read(reader, &buffer, 4096) == 3)
        let other = unsafe open(mounted.path("a"), O_RDONLY | O_NONBLOCK)
        defer { close(other) }
        #expect(unsafe read(other, &buffer, 4096) == file.count + 3)
        #expect(unsafe read(other, &buffer, 4096) == -1 && errno == EAGAIN)
    }

    @Test("poll(2) says when there is something to read, and not before", arguments: ["follow=auto", "follow=poll"])
    func polling(follow: String) throws {
        let file = capture(0..<5)
        let mounted = try Mounted(follow) { try writeFile("\($0)/a", file) }
        let reader = unsafe open(mounted.path("a"), O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        func isReadable(_ milliseconds: Int32) -> Bool {
            var entry = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
            return unsafe poll(&entry, 1, milliseconds) == 1 && entry.revents & Int16(POLLIN) != 0
        }
        #expect(isReadable(10_000))
        var buffer = [UInt8](repeating: 0, count: 4096)
        #expect(unsafe read(reader, &buffer, 4096) == file.count)
        for round in 0..<3 {
            #expect(!isReadable(20))
            // A writer that comes while the poll sleeps wakes it.
            try withChild("sh", ["-c", "sleep 0.1; printf abc >> \"$0\"", "\(mounted.source)/a"]) { child in
                #expect(isReadable(20_000), "round \(round)")
                _ = try child.wait()
            }
            #expect(unsafe read(reader, &buffer, 4096) == 3)
        }
    }

    @Test("A signal ends a reader that waits, at once; the mount goes on")
    func signals() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<5)) }
        for signal in [SIGTERM, SIGINT, SIGKILL] {
            let reader = try mounted.reader("a")
            try reader.waitFor(capture(0..<5).count)
            reader.send(signal: signal)
            #expect(try reader.wait().status == .signalled(signal))
        }
        expectSame(try mounted.cat("a..a"), capture(0..<5))
    }

    @Test("64 readers that wait hold no worker and use no CPU, and all get what comes")
    func manyWaiting() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<5)) }
        let readers = try (0..<64).map { _ in try mounted.reader("a") }
        for reader in readers { try reader.waitFor(capture(0..<5).count) }
        func times() throws -> [Int] {
            let text = String(decoding: try readFile("/proc/\(mounted.process)/stat"), as: UTF8.self)
            let fields = text[text.lastIndex(of: ")")!...].split(separator: " ").compactMap { Int($0) }
            return [fields[10] + fields[11], fields[16]]
        }
        // Until the last of them is on the list.
        for _ in 0..<2000 {
            let text = String(decoding: try readFile(mounted.path(".status")), as: UTF8.self)
            if text.ranges(of: "waiting").count == 64 { break }
            usleep(5000)
        }
        let before = try times()
        usleep(500_000)
        let after = try times()
        #expect(after[0] - before[0] <= 1, "clock ticks of 10 ms")
        #expect(after[1] <= 6, "threads")
        // Workers are free for others.
        expectSame(try mounted.cat("a..a"), capture(0..<5))
        try mounted.add("a", Array(capture(5..<9).dropFirst(24)))
        for reader in readers {
            try reader.waitFor(capture(0..<9).count)
            expectSame(reader.bytes, capture(0..<9))
        }
    }

    @Test(".status says who reads what, and how far")
    func status() throws {
        let mounted = try Mounted { source in
            for (name, numbers) in [("a", 0..<5), ("b", 5..<9)] { try writeFile("\(source)/\(name)", capture(numbers)) }
        }
        let reader = try mounted.reader("a")
        let all = joinedCaptures(capture(0..<5), capture(5..<9))
        try reader.waitFor(all.count)
        var text = ""
        for _ in 0..<2000 where !text.contains("waiting") {
            text = String(decoding: try readFile(mounted.path(".status")), as: UTF8.self)
        }
        #expect(text.contains("source \(mounted.source)"))
        #expect(text.contains("stream a: pid \(reader.identifier), waiting, \(all.count) bytes delivered"))
        #expect(text.contains("file b, 1 done before it"))
    }

    @Test("An unprivileged user can mount and read")
    func unprivileged() throws {
        for tool in ["setpriv", "unshare", "nsenter", "mount"] { try requireTool(tool) }
        try requireRoot()
        try require(unsafe access("/dev/fuse", F_OK) == 0, orSkip: "there is no /dev/fuse")
        try withTemporaryDirectory { folder in
            unsafe chmod(folder, 0o755)
            for name in ["source", "m"] { try makeDirectory("\(folder)/\(name)") }
            try writeFile("\(folder)/source/a", capture(0..<5))
            unsafe chmod("\(folder)/source/a", 0o644)
            #expect(unsafe chown("\(folder)/m", 65534, 65534) == 0)
            // The device is open to everybody in a mount namespace of the test's own, whatever the system says.
            #expect(unsafe mknod("\(folder)/fuse", S_IFCHR | 0o666, 10 << 8 | 229) == 0)
            unsafe chmod("\(folder)/fuse", 0o666)
            let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            let script = "mount --bind \(folder)/fuse /dev/fuse && exec \"$@\""
            let program = try builtExecutable("spillway")
            let words =
                ["--mount", "--propagation", "private", "sh", "-c", script, "sh"] + user
                + [program, "mount", "\(folder)/source", "\(folder)/m", "--foreground"]
            try withChild("unshare", words) { child in
                let inside = ["-t", "\(child.identifier)", "-m"] + user
                for _ in 0..<5000 where !child.errorText.contains("cannot") {
                    if try run("nsenter", inside + ["ls", "\(folder)/m"]).outputText == "a\n" { break }
                    usleep(2000)
                }
                let output = try run("nsenter", inside + ["cat", "\(folder)/m/a..a"])
                expectSame(output.output, capture(0..<5), "\(child.errorText) \(output.errorText)")
                child.send(signal: SIGTERM)
                #expect(try child.wait().status == .exited(0))
            }
        }
    }
}
