import Glibc
import Machine
import TestSupport
import Testing

@Suite("Receivers and senders that die", .serialized)
struct CrashTests {
    static let points = CrashPoint.allCases.filter { $0.name.hasPrefix("receive") }

    @Test(
        "kill -9 of the receiver at each durable step: no file is ever half there, and the next life completes all of them",
        arguments: points)
    func receiver(point: CrashPoint) throws {
        try withTemporaryDirectory { folder in
            _ = unsafe mkdir("\(folder)/source", 0o755)
            // The last ones are of many pieces, of one, and of none.
            let files = [("a", 3 << 20 | 77), ("b", 70_000), ("c", 0)]
            var expected: [String: [UInt8]] = ["source/": []]
            for (name, size) in files {
                expected["source/\(name)"] = sampleBytes(size, seed: UInt64(size) + 3)
                try writeFile("\(folder)/source/\(name)", expected["source/\(name)"]!)
            }
            var port: UInt16 = 0
            // Each life passes the point once or twice; the sender meets them one after the other.
            for count in 1...2 {
                let receiver = try RunningReceiver(
                    "\(folder)/out", ["--sync"], port: port, crashAt: "\(point.name):\(count)")
                port = receiver.port
                let sender = try ChildProcess(
                    try builtExecutable("spillway"), ["send", "\(folder)/source", "--to", receiver.address],
                    environment: withoutOwnVariables())
                let end = try receiver.child.wait()
                #expect(end.status == .signalled(SIGKILL), "\(end.errorText)")
                for (name, bytes) in try tree("\(folder)/out") { #expect(expected[name] == bytes, "\(name)") }
                let next = try RunningReceiver("\(folder)/out", ["--sync"], port: port)
                try sender.wait().checked()
                #expect(try tree("\(folder)/out") == expected)
                _ = try next.stop()
                // Nothing of the first life is left lying about.
                #expect(try directoryEntries("\(folder)/out/.spillway") == ["lock"])
                removeTree("\(folder)/out/source")
            }
        }
    }

    @Test("kill -9 of one sender after the other: what one brought is not brought again, but for what was under way")
    func senders() throws {
        try withTemporaryDirectory { folder in
            let bytes = sampleBytes(16 << 20)
            try writeFile("\(folder)/f", bytes)
            let receiver = try RunningReceiver("\(folder)/out")
            for life in 1...5 {
                let sender = try ChildProcess(
                    try builtExecutable("spillway"),
                    ["send", "\(folder)/f", "--to", receiver.address, "--peer-rate", "20M"],
                    environment: withoutOwnVariables())
                try ResumeTests.waitForPieces(2 * life, in: receiver.out, sender)
                sender.send(signal: SIGKILL)
                _ = try sender.wait()
                #expect(try tree(receiver.out).isEmpty)
            }
            try send(["\(folder)/f"], to: [receiver.address]).checked()
            #expect(try tree(receiver.out) == ["f": bytes])
            // Pieces come in whole and once: what broke off within one was not counted.
            #expect(try receiver.stop()["bytes"] == UInt64(bytes.count))
        }
    }
}
