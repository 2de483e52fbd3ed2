import Glibc
import Machine
import Synchronization
import TestSupport
import Testing

@Suite("Peers that are slow, late, dead or in a chain", .serialized)
struct PeerTests {
    @Test("One that is stalled, one that is dead and one that is late do not hold the others")
    func independence() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(10 << 20)
            try writeFile("\(folder)/f", bytes)
            let (good, stalled) = (try RunningReceiver("\(folder)/good"), try RunningReceiver("\(folder)/stalled"))
            let proxy = try Proxy(to: stalled.port, .stall(after: 3 << 20))
            defer { proxy.stop() }
            // A port that somebody had a moment ago.
            let reserved = try RunningReceiver("\(folder)/reserved")
            let latePort = reserved.port
            try reserved.kill()
            let addresses = ["127.0.0.1:1", "127.0.0.1:\(proxy.port)", good.address, "127.0.0.1:\(latePort)"]
            let sender = try ChildProcess(
                try builtExecutable("spillway"),
                ["send", "\(folder)/f", "--timeout", "4s", "--report", "\(folder)/r"]
                    + addresses.flatMap { ["--to", $0] },
                environment: withoutOwnVariables())
            // The good one is finished while the others are still being waited for.
            try good.child.waitUntil { _, errors in errors.contains("\nspillway: f: ") }
            #expect(sender.isRunning())
            #expect(try tree(good.out) == ["f": bytes])
            let late = try RunningReceiver("\(folder)/late", port: latePort)
            let result = try sender.wait()
            #expect(result.status == .exited(69), "\(result.errorText)")
            #expect(result.errorText.contains("127.0.0.1:1: cannot connect: Connection refused"))
            #expect(try tree(late.out) == ["f": bytes])
            #expect(try tree(stalled.out).isEmpty)
            let states = String(decoding: try readFile("\(folder)/r"), as: UTF8.self).split(separator: "\n")
                .filter { $0.contains("\"state\"") }.map { $0.split(separator: "\"")[3] }
            #expect(states == ["failed", "failed", "done", "done"])
        }
    }

    @Test("A file that somebody else is sending is offered again until the time is over, and taken when he is gone")
    func busy() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(2 << 20)
            try writeFile("\(folder)/f", bytes)
            try writeFile("\(folder)/g", sampleBytes(10))
            let receiver = try RunningReceiver("\(folder)/out")
            // A sender that says something all the time is not taken for dead.
            let other = try TalkingPeer(port: receiver.port)
            defer { other.stop() }
            other.waitUntilHeard()
            let refused = "f: refused: another sender is sending it"
            let refusedAtLast = try send(["\(folder)/f", "\(folder)/g", "--timeout", "1s"], to: [receiver.address])
            #expect(refusedAtLast.status == .exited(73), "\(refusedAtLast.errorText)")
            #expect(refusedAtLast.errorText.contains("f: another sender is sending it"))
            // The other file was not held up.
            #expect(try tree(receiver.out) == ["g": sampleBytes(10)])
            let before = receiver.child.errorText.ranges(of: refused).count
            #expect(before >= 2)
            let sender = try ChildProcess(
                try builtExecutable("spillway"), ["send", "\(folder)/f", "--to", receiver.address],
                environment: withoutOwnVariables())
            try receiver.child.waitUntil { _, errors in errors.ranges(of: refused).count > before }
            other.stop()
            try sender.wait().checked()
            #expect(try tree(receiver.out)["f"] == bytes)
        }
    }

    @Test("No more than the rate leaves, in all and to each", arguments: ["--rate", "--peer-rate"])
    func rate(option: String) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/f", sampleBytes(2 << 20))
            let receivers = [try RunningReceiver("\(folder)/a"), try RunningReceiver("\(folder)/b")]
            let start = ContinuousClock.now
            try send(["\(folder)/f", option, "2M"], to: receivers.map(\.address)).checked()
            // 2 MiB to each of two at 2 MiB/s, less the tenth of a second that may go at once.
            let least: Duration = option == "--rate" ? .milliseconds(1800) : .milliseconds(850)
            #expect(ContinuousClock.now - start > least)
            for receiver in receivers { #expect(try tree(receiver.out) == ["f": sampleBytes(2 << 20)]) }
        }
    }

    @Test("Receivers pass on what they get: about one copy leaves the sender", arguments: ["chain", "tree"])
    func relay(shape: String) throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(16 << 20 | 999)
            try writeFile("\(folder)/f", bytes)
            try writeFile("\(folder)/token", [UInt8](repeating: 5, count: 32))
            let receivers = try (0..<5).map {
                try RunningReceiver("\(folder)/out\($0)", ["--token-file", "\(folder)/token"])
            }
            try send(
                ["\(folder)/f", "--relay", shape, "--token-file", "\(folder)/token", "--report", "\(folder)/r"],
                to: receivers.map(\.address)
            ).checked()
            for receiver in receivers { #expect(try tree(receiver.out) == ["f": bytes]) }
            let report = Report(try readFile("\(folder)/r"))
            // The first number is the sum; of each peer what the sender itself brought.
            #expect(report.all("sent_bytes") == [UInt64(bytes.count), UInt64(bytes.count), 0, 0, 0, 0])
            #expect(report.all("bypasses") == [0, 0, 0, 0, 0])
            for receiver in receivers { #expect(try receiver.stop()["bytes"] == UInt64(bytes.count)) }
        }
    }

    @Test("A relay that dies in the middle is bypassed; those behind it get everything", arguments: ["chain", "tree"])
    func deadRelay(shape: String) throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(24 << 20)
            try writeFile("\(folder)/f", bytes)
            let receivers = try (0..<4).map { try RunningReceiver("\(folder)/out\($0)", ["--pass-on"]) }
            let sender = try ChildProcess(
                try builtExecutable("spillway"),
                [
                    "send", "\(folder)/f", "--relay", shape, "--rate", "16M", "--timeout", "4s", "--report",
                    "\(folder)/r",
                ]
                    + receivers.flatMap { ["--to", $0.address] }, environment: withoutOwnVariables())
            // The second one has passed on something by the time the last one has a journal with pieces.
            while true {
                let out = receivers[shape == "chain" ? 2 : 3].out
                let names = (try? directoryEntries("\(out)/.spillway")) ?? []
                let journal = names.first { $0.hasSuffix(".pieces") }.flatMap {
                    try? readFile("\(out)/.spillway/\($0)")
                }
                if (journal?.count ?? 0) > 300 { break }
                try #require(sender.isRunning(), "\(sender.errorText)")
                usleep(2000)
            }
            try receivers[1].kill()
            let result = try sender.wait()
            #expect(result.status == .exited(69), "\(result.errorText)")
            for place in [0, 2, 3] { #expect(try tree(receivers[place].out) == ["f": bytes], "\(place)") }
            let report = Report(try readFile("\(folder)/r"))
            let bypasses = report.all("bypasses")
            #expect(bypasses[0] == 0 && bypasses[shape == "chain" ? 2 : 3] == 1, "\(bypasses)")
        }
    }

    @Test("What a relay passes on damaged is brought by the sender")
    func damagedRelay() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(6 << 20)
            try writeFile("\(folder)/f", bytes)
            let first = try RunningReceiver("\(folder)/a", ["--pass-on"])
            let second = try RunningReceiver("\(folder)/b")
            // The sender's own connection brings no bytes; so what passes here with bytes comes from the relay.
            let proxy = try Proxy(to: second.port, .damage(piece: 2, times: 1))
            defer { proxy.stop() }
            try send(
                ["\(folder)/f", "--relay", "chain", "--report", "\(folder)/r"],
                to: [first.address, "127.0.0.1:\(proxy.port)"]
            ).checked()
            #expect(try tree(second.out) == ["f": bytes])
            let report = Report(try readFile("\(folder)/r"))
            #expect(report.all("resent_pieces") == [0, 1])
            #expect(report.all("sent_bytes") == [7 << 20, 6 << 20, 1 << 20])
        }
    }
}

/// A sender that announces the file "f" again and again and sends nothing of it.
final class TalkingPeer: Sendable {
    private let isStopped = Atomic<Bool>(false)
    private let hasEnded = Atomic<Bool>(false), isHeard = Atomic<Bool>(false)

    init(port: UInt16) throws {
        try PinnedThread(name: "talker", cpus: nil) { [self] in
            speak(to: port)
            hasEnded.store(true, ordering: .releasing)
        }.detach()
    }

    private func speak(to port: UInt16) {
        guard let peer = try? RawPeer(port: port), (try? peer.open()) != nil else { return }
        while !isStopped.load(ordering: .relaxed) {
            peer.announce(0, "f", size: 3 << 20)
            // The first answer says that the file is his now.
            if peer.next()?.kind == 5 { isHeard.store(true, ordering: .releasing) }
            usleep(20_000)
        }
    }

    /// Waits until the file is his.
    func waitUntilHeard() {
        while !isHeard.load(ordering: .acquiring), !hasEnded.load(ordering: .acquiring) { usleep(1000) }
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        while !hasEnded.load(ordering: .acquiring) { usleep(1000) }
    }
}
