import Glibc
import Machine
import TestSupport
import Testing

@Suite("What senders cannot do, and are told", .serialized)
struct LimitsTests {
    @Test("74: what is in a directory and cannot be sent is named, what is left out is told, and all the rest arrives")
    func directory() throws {
        try withTemporaryDirectory { folder in
            let source = "\(folder)/d"
            for path in [source, "\(source)/inner"] { _ = unsafe mkdir(path, 0o755) }
            try writeFile("\(source)/good", sampleBytes(1000))
            try writeFile("\(source)/inner/two\nlines\u{1b}[31m", sampleBytes(20))
            _ = unsafe symlink("/etc/hosts", "\(source)/link")
            #expect(unsafe mkfifo("\(source)/pipe", 0o600) == 0)
            let bad: [CChar] = Array("\(source)/bad".utf8CString.dropLast()) + [CChar(bitPattern: 0xFF), 0]
            close(unsafe open(bad, O_WRONLY | O_CREAT, 0o600))
            let receiver = try RunningReceiver("\(folder)/out")
            let result = try send([source, "--report", "\(folder)/r"], to: [receiver.address])
            #expect(result.status == .exited(74), "\(result.errorText)")
            #expect(result.errorText.contains("\(source)/bad\u{FFFD}: its name is no UTF-8"))
            for name in ["link", "pipe"] {
                #expect(result.errorText.contains("\(source)/\(name): left out"), "\(result.errorText)")
            }
            #expect(
                try tree(receiver.out) == [
                    "d/": [], "d/inner/": [], "d/good": sampleBytes(1000),
                    "d/inner/two\nlines\u{1b}[31m": sampleBytes(20),
                ])
            let report = String(decoding: try readFile("\(folder)/r"), as: UTF8.self)
            let skipped = try #require(report.split(separator: "\"skipped\"").last)
            #expect(skipped.contains("/link\"") && skipped.contains("/pipe\"") && !skipped.contains("good"))
            // What is printed can be checked by b3sum, and no name reaches a terminal as it is.
            try writeFile("\(folder)/sums", result.output)
            try run("b3sum", ["--check", "\(folder)/sums"], directory: receiver.out).checked()
            #expect(!receiver.child.errorText.contains("\u{1b}"))
        }
    }

    @Test("Room that was made for a file is given back when its sender goes away")
    func reservation() throws {
        try withTemporaryDirectory { folder in
            let receiver = try RunningReceiver("\(folder)/out")
            let state = "\(receiver.out)/.spillway"
            for pieces in [0, 1] {
                let peer = try RawPeer(port: receiver.port)
                try peer.open()
                peer.announce(1, "large", size: 64 << 20)
                #expect(peer.next()?.kind == 5)
                let part = try #require(try directoryEntries(state).first { $0.hasSuffix(".part") })
                #expect(try allocated("\(state)/\(part)") >= 64 << 20)
                if pieces == 1 {
                    let head = RawPeer.bytes(UInt32(1)) + RawPeer.bytes(UInt32(0)) + RawPeer.bytes(UInt64(0))
                    peer.say(7, head + sampleBytes(1 << 20))
                    // Noted is what has come: the head of 31 bytes with this name, 36 of the boot, and an entry of 48.
                    let noted = ContinuousClock.now + .seconds(30)
                    while try readFile("\(state)/\(part.dropLast(5)).pieces").count < 115 {
                        try #require(ContinuousClock.now < noted, "the piece is not noted")
                        usleep(1000)
                    }
                }
                shutdown(peer.socket, Int32(SHUT_RDWR))
                let deadline = ContinuousClock.now + .seconds(30)
                while ContinuousClock.now < deadline {
                    let names = try directoryEntries(state)
                    if pieces == 0, names == ["lock"] { break }
                    if pieces == 1, names.count == 3, try allocated("\(state)/\(part)") <= 2 << 20 { break }
                    usleep(1000)
                }
                if pieces == 0 { #expect(try directoryEntries(state) == ["lock"]) }
                if pieces == 1 { #expect(try allocated("\(state)/\(part)") <= 2 << 20) }
            }
            // What came is not lost, and what nobody has gone on with for long is.
            try receiver.kill()
            let names = try directoryEntries(state).filter { $0 != "lock" }
            #expect(names.count == 2)
            for (age, left) in [("6 days ago", names + ["lock"]), ("8 days ago", ["lock"])] {
                for name in names { try run("touch", ["-d", age, "\(state)/\(name)"]).checked() }
                _ = try RunningReceiver(receiver.out).stop()
                #expect(try directoryEntries(state) == left)
            }
        }
    }

    /// Bytes that a file takes on disk.
    private func allocated(_ path: String) throws -> Int {
        var status = stat()
        try #require(unsafe stat(path, &status) == 0)
        return Int(status.st_blocks) * 512
    }

    @Test("A stranger cannot have a receiver connect elsewhere, and learns nothing of what answers there")
    func forwarding() throws {
        try withTemporaryDirectory { folder in
            let (listener, endpoint) = try Listening.open(Endpoint(parsing: "127.0.0.1:0")!, backlog: 4)
            defer { close(listener) }
            let address = RawPeer.text("127.0.0.1:\(endpoint.port)")
            let strict = try RunningReceiver("\(folder)/strict")
            let stranger = try RawPeer(port: strict.port)
            try stranger.open()
            stranger.say(15, address)
            let refusal = try #require(stranger.next())
            #expect(refusal.kind == 16 && String(decoding: refusal.body, as: UTF8.self).contains("--pass-on"))
            // Nobody has come by the time it answers; the listener does not wait.
            #expect(accept(listener, nil, nil) < 0 && errno == EAGAIN)
            let open = try RunningReceiver("\(folder)/open", ["--pass-on"])
            let sender = try RawPeer(port: open.port)
            try sender.open()
            sender.say(15, address)
            _ = fcntl(listener, F_SETFL, 0)
            let other = RawPeer(accepted: accept(listener, nil, nil))
            #expect(other.next()?.kind == 1)
            other.write(Array("SECRET-BANNER\r\n".utf8))
            let answer = try #require(sender.next())
            #expect(answer.kind == 16)
            #expect(Array(answer.body) == address + RawPeer.text("no receiver answers there"))
        }
    }
}
