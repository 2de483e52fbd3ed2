import Fragments
import Glibc
import Machine
import TestSupport
import Testing

@Suite("Bad input to send and receive", .serialized)
struct BadInputTests {
    @Test("66 and 77: a file that is not there, or may not be read")
    func unreadable() throws {
        try requireRoot()
        try requireTool("unshare")
        try withTemporaryDirectory { folder in
            let missing = try send(["\(folder)/no"], to: ["127.0.0.1:1"])
            #expect(missing.status == .exited(66) && missing.errorText.contains("\(folder)/no: No such file"))
            try writeFile("\(folder)/secret", [1])
            _ = unsafe chmod("\(folder)/secret", 0)
            // In a user namespace without this user, root's privileges over its files are gone.
            let result = try run(
                "unshare",
                ["--user", try builtExecutable("spillway"), "send", "\(folder)/secret", "--to", "127.0.0.1:1"],
                environment: withoutOwnVariables())
            #expect(result.status == .exited(77), "\(result.errorText)")
            #expect(result.errorText.contains("\(folder)/secret: Permission denied"))
        }
    }

    @Test(
        "A file that changes under way is withdrawn, and nothing is left of it",
        arguments: ["longer", "shorter", "other"])
    func changed(how: String) throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/f"
            try writeFile(path, sampleBytes(12 << 20))
            try writeFile("\(folder)/g", sampleBytes(1000))
            let receiver = try RunningReceiver("\(folder)/out")
            let sender = try ChildProcess(
                try builtExecutable("spillway"),
                ["send", path, "\(folder)/g", "--to", receiver.address, "--rate", "8M"],
                environment: withoutOwnVariables())
            while ((try? directoryEntries("\(receiver.out)/.spillway")) ?? []).count < 3 {
                try #require(sender.isRunning(), "\(sender.errorText)")
                usleep(500)
            }
            let file = unsafe open(path, O_WRONLY)
            if how == "longer" { #expect(ftruncate(file, 13 << 20) == 0) }
            if how == "shorter" { #expect(ftruncate(file, 1 << 20) == 0) }
            if how == "other" { #expect(unsafe pwrite(file, [9, 9, 9, 9], 4, 11 << 20) == 4) }
            close(file)
            let result = try sender.wait()
            #expect(result.status == .exited(74), "\(result.errorText)")
            #expect(result.errorText.contains("\(path): it "), "\(result.errorText)")
            #expect(try tree(receiver.out) == ["g": sampleBytes(1000)])
            #expect(try directoryEntries("\(receiver.out)/.spillway") == ["lock"])
        }
    }

    @Test("73: a full disk at one receiver fails there alone")
    func fullDisk() throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/big", sampleBytes(6 << 20))
            try writeFile("\(folder)/small", sampleBytes(60_000))
            _ = unsafe mkdir("\(folder)/tiny", 0o755)
            try run("mount", ["-t", "tmpfs", "-o", "size=4m", "none", "\(folder)/tiny"]).checked()
            defer { _ = try? run("umount", ["-l", "\(folder)/tiny"]) }
            let (good, full) = (try RunningReceiver("\(folder)/good"), try RunningReceiver("\(folder)/tiny/out"))
            let result = try send(["\(folder)/big", "\(folder)/small"], to: [full.address, good.address])
            #expect(result.status == .exited(73), "\(result.errorText)")
            #expect(result.errorText.contains("\(full.address): big: "))
            #expect(result.errorText.contains("No space left on device"))
            #expect(try tree(good.out) == ["big": sampleBytes(6 << 20), "small": sampleBytes(60_000)])
            #expect(try tree(full.out) == ["small": sampleBytes(60_000)])
            try full.kill()
        }
    }

    @Test("Names never lead out of the directory")
    func names() throws {
        try withTemporaryDirectory { folder in
            let receiver = try RunningReceiver("\(folder)/out")
            _ = unsafe symlink(folder, "\(folder)/out/link")
            let peer = try RawPeer(port: receiver.port)
            try peer.open()
            let names = [
                "../x", "/x", "a/../../x", "a/./x", "a//x", "", ".", "..", "x/", ".spillway/x", "link/x", "link",
                "a\0b", String(repeating: "n", count: 256),
            ]
            for (place, name) in names.enumerated() {
                // A plain name that is a link is replaced, not followed.
                if name == "link" { continue }
                peer.announce(UInt32(place), name, size: 10)
                let answer = try #require(peer.next(), "\(name)")
                if name == "link/x" {
                    // Whether the parent can be entered shows when the file is to get its name.
                    #expect([5, 12].contains(answer.kind))
                    continue
                }
                #expect(answer.kind == 12 && answer.body[..<4] == RawPeer.bytes(UInt32(place))[...], "\(name)")
                peer.announce(UInt32(place + 100), name, size: 0, isDirectory: true)
                #expect(peer.next()?.kind == 12, "\(name)")
            }
            peer.announce(90, "link/x", size: 0, isDirectory: true)
            #expect(peer.next()?.kind == 12)
            // The root of nothing: the file is whole at once, and must not appear behind the link.
            peer.announce(91, "link/y", size: 0)
            #expect(peer.next()?.kind == 5)
            let root = try run("b3sum", ["--no-names"]).checked().outputLines[0]
            let bytes = stride(from: 0, to: 64, by: 2).map { place in
                UInt8(root.dropFirst(place).prefix(2), radix: 16)!
            }
            peer.say(8, RawPeer.bytes(UInt32(91)) + bytes)
            #expect(peer.next()?.kind == 12)
            #expect(try directoryEntries(folder) == ["out"])
        }
    }

    @Test("Other versions, other tokens and strangers are told so")
    func greetings() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/f", sampleBytes(1000))
            for (name, byte) in [("one", UInt8(1)), ("two", 2)] {
                try writeFile("\(folder)/\(name)", [UInt8](repeating: byte, count: 32))
            }
            let open = try RunningReceiver("\(folder)/open")
            let closed = try RunningReceiver("\(folder)/closed", ["--token-file", "\(folder)/one"])
            let old = try RawPeer(port: open.port)
            old.greet(version: 9)
            let answer = try #require(old.next())
            #expect(answer.kind == 14 && answer.body[0] == 2)
            #expect(String(decoding: answer.body, as: UTF8.self).contains("version 9"))
            for arguments in [[], ["--token-file", "\(folder)/two"]] {
                for method in ["sendfile", "minimum"] {
                    let result = try send(["\(folder)/f", "--method", method] + arguments, to: [closed.address])
                    #expect(result.status == .exited(69), "\(result.errorText)")
                    #expect(result.errorText.contains("token"), "\(result.errorText)")
                }
            }
            // Whoever looks after the receiver is told the same; with few calls a sender that finds it is wrong only goes away.
            let told = closed.child.errorText.ranges(of: "does not have the token").count
            #expect(told == 3, "\(closed.child.errorText)")
            for method in ["sendfile", "minimum"] {
                try send(["\(folder)/f", "--token-file", "\(folder)/one", "--method", method], to: [closed.address])
                    .checked()
            }
            // A receiver that has no token cannot prove that it has the sender's.
            let result = try send(["\(folder)/f", "--token-file", "\(folder)/one"], to: [open.address])
            #expect(result.status == .exited(69) && result.errorText.contains("token"))
            #expect(try tree(open.out).isEmpty)
        }
    }

    @Test("A receiver that claims what it does not have is found out", arguments: FalseReceiver.Claim.allCases)
    func falseClaims(claim: FalseReceiver.Claim) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/f", sampleBytes(3 << 20))
            let liar = try FalseReceiver(claim)
            let result = try send(
                ["\(folder)/f", "--timeout", "5s", "--report", "\(folder)/r"], to: ["127.0.0.1:\(liar.port)"])
            #expect(result.status == .exited(69), "\(result.errorText)")
            let words = claim == .version ? "speaks version 7" : "claims what it does not have"
            #expect(result.errorText.contains(words), "\(result.errorText)")
            // One that says it has all pieces, and cannot name their hashes, is sent all of them.
            if claim == .have { #expect(Report(try readFile("\(folder)/r"))["sent_bytes"] == 3 << 20) }
        }
    }
}

/// A receiver that lies.
final class FalseReceiver: Sendable {
    enum Claim: CaseIterable, Sendable { case version, progress, done, root, have, otherSize }

    let port: UInt16

    init(_ claim: Claim) throws {
        let (listener, endpoint) = try Listening.open(Endpoint(parsing: "127.0.0.1:0")!, backlog: 4)
        _ = fcntl(listener, F_SETFL, 0)
        port = endpoint.port
        try PinnedThread(name: "liar", cpus: nil) {
            while true {
                let socket = accept(listener, nil, nil)
                if socket < 0 { return }
                Self.serve(RawPeer(accepted: socket), claim)
            }
        }.detach()
    }

    private static func serve(_ peer: RawPeer, _ claim: Claim) {
        let file = RawPeer.bytes(UInt32(0))
        let nothing = RangeList<UInt64>(limit: claim == .otherSize ? 4 : 3).serialized()
        let everything = (try? RangeList<UInt64>([0..<3], limit: 3).serialized()) ?? []
        while let (kind, body) = peer.next() {
            switch kind {
            case 1:
                let version = RawPeer.bytes(UInt16(claim == .version ? 7 : 1))
                peer.say(2, version + [0, 0] + [UInt8](repeating: 1, count: 64))
            case 4:
                peer.say(5, file + [UInt8](repeating: 3, count: 32) + (claim == .have ? everything : nothing))
                if claim == .progress { peer.say(10, file + RawPeer.bytes(UInt64(9 << 20))) }
                if claim == .done { peer.say(11, file + [UInt8](repeating: 1, count: 32)) }
            case 8 where claim == .root: peer.say(11, file + [UInt8](repeating: 1, count: 32))
            case 7 where claim == .have: peer.say(11, file + [UInt8](repeating: 1, count: 32))
            default: _ = body
            }
        }
    }
}
