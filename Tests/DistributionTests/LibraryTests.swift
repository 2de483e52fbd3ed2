import Distribution
import Glibc
import Machine
import TestSupport
import Testing

@Suite("The library", .serialized)
struct LibraryTests {
    @Test("The example sends a file to two receivers within one program")
    func example() throws {
        try requireTool("b3sum")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/f", sampleBytes(3 << 20 | 7))
            for name in ["one", "two"] { _ = unsafe mkdir("\(folder)/\(name)", 0o755) }
            let result = try run(builtExecutable("send-files-example"), ["\(folder)/f", folder]).checked()
            #expect(result.outputLines.count { $0.contains("done 3145735 bytes") } == 2, "\(result.outputText)")
            for name in ["one", "two"] { #expect(try readFile("\(folder)/\(name)/copy") == sampleBytes(3 << 20 | 7)) }
        }
    }

    @Test("A sender writes one path after the other, and says of each receiver how far it is")
    func status() throws {
        try withTemporaryDirectory { folder in
            for name in ["a", "b"] { try writeFile("\(folder)/\(name)", sampleBytes(2 << 20)) }
            let receiver = try FileReceiver(
                ReceiveOptions(listen: [Endpoint(parsing: "127.0.0.1:0")!], directory: "\(folder)/out"))
            try PinnedThread(name: "receiver", cpus: nil) { _ = try? receiver.run() }.detach()
            defer { receiver.stop() }
            let sender = try FileSender()
            sender.connect(to: receiver.endpoints[0])
            try sender.write("\(folder)/a")
            #expect(try readFile("\(folder)/out/a") == sampleBytes(2 << 20))
            #expect(sender.status.map(\.filesDone) == [1] && sender.status.map(\.acknowledgedBytes) == [2 << 20])
            #expect(throws: SendError.self) { try sender.write("\(folder)/missing") }
            #expect(throws: SendError.self) { try sender.write("\(folder)/a") }
            try sender.write("\(folder)/b")
            let report = sender.finish()
            #expect(report.peers.map(\.state) == [.done] && report.peers.map(\.sentBytes) == [4 << 20])
            #expect(report.files.map(\.name) == ["a", "b"] && report.failures.isEmpty)
        }
    }
}
