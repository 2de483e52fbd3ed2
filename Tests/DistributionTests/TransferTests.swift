import Glibc
import TestSupport
import Testing

@Suite("Sending files", .serialized)
struct TransferTests {
    @Test(
        "One file arrives as it is, with its mode and time, and the root printed is b3sum's",
        arguments: [0, 1, 1024, (1 << 20) - 1, 1 << 20, (7 << 20) + 12345])
    func oneFile(size: Int) throws {
        try requireTool("b3sum")
        try withTemporaryDirectory { folder in
            let path = "\(folder)/sample.bin"
            try writeFile(path, sampleBytes(size))
            _ = unsafe chmod(path, 0o640)
            try run("touch", ["-d", "2001-02-03 04:05:06.789", path]).checked()
            let receiver = try RunningReceiver("\(folder)/out")
            let result = try send([path], to: [receiver.address]).checked()
            let root = try run("b3sum", [path], directory: folder).checked().outputLines[0].prefix { $0 != " " }
            #expect(result.outputLines == ["\(root)  sample.bin"])
            #expect(try tree("\(folder)/out") == ["sample.bin": sampleBytes(size)])
            let facts = try run("stat", ["-c", "%a %y", path, "\(folder)/out/sample.bin"]).checked().outputLines
            #expect(facts[0] == facts[1])
            let report = try receiver.stop()
            #expect(report["bytes"] == UInt64(size) && report["corrupt_pieces"] == 0)
            #expect(report.text.contains("\"\(root)\""))
            // Nothing but the lock is left.
            #expect(try directoryEntries("\(folder)/out/.spillway") == ["lock"])
        }
    }

    @Test("Files and whole directories, to three receivers in one session")
    func directories() throws {
        try withTemporaryDirectory { folder in
            let source = "\(folder)/source"
            for part in ["", "/inner", "/inner/deep", "/empty"] { _ = unsafe mkdir(source + part, 0o755) }
            var expected: [String: [UInt8]] = [
                "source/": [], "source/inner/": [], "source/inner/deep/": [], "source/empty/": [],
            ]
            for (place, name) in ["a", "inner/b", "inner/deep/c", "inner/deep/ä ö", "z"].enumerated() {
                expected["source/\(name)"] = sampleBytes(place * 700_000 + 10, seed: UInt64(place) + 5)
                try writeFile("\(source)/\(name)", expected["source/\(name)"]!)
            }
            for number in 0..<150 {
                expected["source/inner/\(number)"] = sampleBytes(number * 7, seed: UInt64(number) + 50)
                try writeFile("\(source)/inner/\(number)", expected["source/inner/\(number)"]!)
            }
            expected["single"] = sampleBytes(3 << 20)
            try writeFile("\(folder)/single", expected["single"]!)
            _ = unsafe symlink("/etc/passwd", "\(source)/link")
            let receivers = try (0..<3).map { try RunningReceiver("\(folder)/out\($0)") }
            try send([source, "\(folder)/single"], to: receivers.map(\.address)).checked()
            for receiver in receivers {
                #expect(try tree(receiver.out) == expected)
                _ = try receiver.stop()
            }
        }
    }
}
