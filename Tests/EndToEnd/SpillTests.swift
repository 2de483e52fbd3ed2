import Glibc
import TestSupport
import Testing

@Suite("What memory cannot keep waits on disk")
struct SpillTests {
    @Test(
        "Files, and a reader that stands still: everything goes to disk, and from there to the reader",
        arguments: [1, 2])
    func stalled(readers count: Int) throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<20_000, size: 1000)
            try writeFile("\(folder)/in", captureFile(packets))
            let readers = try (0..<count).map { _ in try Reader(.stalled, receiveBuffer: 16_384) }
            let running = try RunningRelay(
                (0..<4).flatMap { _ in ["-r", "\(folder)/in"] }
                    + readers.enumerated().flatMap { ["--to", "\($1.address),name=to\($0)"] }
                    + ["--spill", "\(folder)/cache", "--sync", "none"])
            let all = packets + packets + packets + packets
            // More than memory holds is on disk.
            try waitUntil("a cache") { cacheBytes("\(folder)/cache") > 30 << 20 }
            for reader in readers { reader.set(.reading) }
            let result = try running.finish(timeLimit: .seconds(60))
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 80_000, encoded: 80_000)
            for (number, reader) in readers.enumerated() {
                try reader.waitForEnd()
                expectSame(try Stream(reader.streams.last ?? []).packets, all, "reader \(number)")
                let destination = try report.destination("to\(number)")
                #expect(destination.losses.isEmpty)
                #expect(try destination.count("on_disk") == 0)
                #expect(try destination.count("spilled") > 20_000)
                #expect(try destination.count("replayed") == destination.count("spilled"))
            }
            // What everybody has is on disk no more.
            #expect(try cacheFiles("\(folder)/cache").isEmpty)
        }
    }
}

/// Names of the cache files in a directory, sealed or not.
func cacheFiles(_ folder: String) throws -> [String] {
    try run("ls", [folder]).checked().outputText.split(separator: "\n").map(String.init)
        .filter { $0.contains(".pcapng") }.sorted()
}

/// Bytes of the cache files in a directory; 0 while there is none.
func cacheBytes(_ folder: String) -> Int {
    guard let names = try? cacheFiles(folder) else { return 0 }
    return names.reduce(0) { sum, name in
        var status = stat()
        return sum + (unsafe stat("\(folder)/\(name)", &status) == 0 ? Int(status.st_size) : 0)
    }
}
