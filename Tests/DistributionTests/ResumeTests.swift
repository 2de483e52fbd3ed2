import Glibc
import TestSupport
import Testing

@Suite("Transfers that break off", .serialized)
struct ResumeTests {
    private static let size = 24 << 20

    /// Waits until so many pieces are noted in a receiver's journal.
    static func waitForPieces(_ count: Int, in out: String, _ child: ChildProcess) throws {
        while true {
            let isRunning = child.isRunning()
            let names = (try? directoryEntries("\(out)/.spillway")) ?? []
            let journal = names.first { $0.hasSuffix(".pieces") }.flatMap { try? readFile("\(out)/.spillway/\($0)") }
            if (journal?.count ?? 0) >= count * 48 + 120 { return }
            try #require(isRunning, "\(child.errorText)")
            usleep(1000)
        }
    }

    private static func startSend(_ path: String, _ address: String, report: String) throws -> ChildProcess {
        try ChildProcess(
            try builtExecutable("spillway"),
            ["send", path, "--to", address, "--peer-rate", "24M", "--report", report],
            environment: withoutOwnVariables())
    }

    @Test("kill -9 of the receiver: the sender goes on with what is missing as soon as there is one again")
    func receiverDies() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(Self.size)
            try writeFile("\(folder)/f", bytes)
            let first = try RunningReceiver("\(folder)/out")
            let port = first.port
            let sender = try Self.startSend("\(folder)/f", first.address, report: "\(folder)/r")
            try Self.waitForPieces(6, in: first.out, sender)
            try first.kill()
            #expect(try tree("\(folder)/out").isEmpty)
            let second = try RunningReceiver("\(folder)/out", port: port)
            try sender.wait().checked()
            #expect(try tree("\(folder)/out") == ["f": bytes])
            let (theirs, ours) = (try second.stop(), Report(try readFile("\(folder)/r")))
            #expect(ours["connections"] == 2)
            let resumed = try #require(theirs["resumed_bytes"])
            #expect(resumed >= 6 << 20)
            #expect(theirs["bytes"] == UInt64(Self.size) - resumed)
        }
    }

    @Test("kill -9 of the sender: another one goes on with what is missing")
    func senderDies() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(Self.size)
            try writeFile("\(folder)/f", bytes)
            let receiver = try RunningReceiver("\(folder)/out")
            let sender = try Self.startSend("\(folder)/f", receiver.address, report: "\(folder)/r")
            try Self.waitForPieces(6, in: receiver.out, sender)
            sender.send(signal: SIGKILL)
            _ = try sender.wait()
            #expect(try tree("\(folder)/out").isEmpty)
            try send(["\(folder)/f"], to: [receiver.address]).checked()
            #expect(try tree("\(folder)/out") == ["f": bytes])
            let report = try receiver.stop()
            let resumed = try #require(report["resumed_bytes"])
            #expect(resumed >= 6 << 20 && resumed < Self.size)
            // A third one finds everything there and sends nothing.
            let again = try RunningReceiver("\(folder)/out")
            try send(["\(folder)/f"], to: [again.address]).checked()
            let last = try again.stop()
            #expect(last["bytes"] == 0 && last["resumed_bytes"] == UInt64(Self.size))
        }
    }

    @Test("What changed between two attempts is sent anew, and what the disk lost is noticed")
    func otherContent() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/f", sampleBytes(Self.size))
            let receiver = try RunningReceiver("\(folder)/out")
            let sender = try Self.startSend("\(folder)/f", receiver.address, report: "\(folder)/r")
            try Self.waitForPieces(6, in: receiver.out, sender)
            sender.send(signal: SIGKILL)
            _ = try sender.wait()
            // Same size, other bytes, other time.
            let bytes = sampleBytes(Self.size, seed: 9)
            try writeFile("\(folder)/f", bytes)
            try send(["\(folder)/f"], to: [receiver.address]).checked()
            #expect(try tree("\(folder)/out") == ["f": bytes])
            #expect(try receiver.stop()["resumed_bytes"] == 0)
        }
    }

    @Test("A connection that is cut in the middle is made again")
    func cut() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(Self.size)
            try writeFile("\(folder)/f", bytes)
            let receiver = try RunningReceiver("\(folder)/out")
            let proxy = try Proxy(to: receiver.port, .cut(after: 9 << 20 | 77))
            defer { proxy.stop() }
            try send(["\(folder)/f", "--report", "\(folder)/r"], to: ["127.0.0.1:\(proxy.port)"]).checked()
            #expect(try tree("\(folder)/out") == ["f": bytes])
            #expect(Report(try readFile("\(folder)/r"))["connections"] == 2)
            #expect(try receiver.stop()["resumed_bytes"]! > 0)
        }
    }

    @Test("A damaged piece is sent again, and counted at both ends", arguments: [1, 3])
    func damage(times: Int) throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(6 << 20)
            try writeFile("\(folder)/f", bytes)
            let receiver = try RunningReceiver("\(folder)/out")
            let proxy = try Proxy(to: receiver.port, .damage(piece: 3, times: times))
            defer { proxy.stop() }
            try send(["\(folder)/f", "--report", "\(folder)/r"], to: ["127.0.0.1:\(proxy.port)"]).checked()
            #expect(try tree("\(folder)/out") == ["f": bytes])
            let ours = Report(try readFile("\(folder)/r"))
            #expect(ours["resent_pieces"] == UInt64(times))
            #expect(ours["sent_bytes"] == UInt64(bytes.count + (times << 20)))
            #expect(try receiver.stop()["corrupt_pieces"] == UInt64(times))
        }
    }
}
