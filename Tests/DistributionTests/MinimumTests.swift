import Glibc
import TestSupport
import Testing

@Suite("As few system calls as possible", .serialized)
struct MinimumTests {
    /// All system calls of a sender of these files to these receivers, as strace counts them.
    private func calls(_ files: [String], _ receivers: [RunningReceiver], _ folder: String) throws -> [String] {
        let words =
            ["-f", "-o", "\(folder)/trace", try builtExecutable("spillway"), "send", "--method", "minimum"] + files
            + receivers.flatMap { ["--to", $0.address] }
        try run("strace", words, environment: withoutOwnVariables(), timeLimit: .seconds(60)).checked()
        let lines = String(decoding: try readFile("\(folder)/trace"), as: UTF8.self).split(separator: "\n")
        // Process, call, arguments. Ends and signals are no calls; a call that was interrupted is told of twice.
        return lines.compactMap { line in
            let call = line.drop { $0 != " " }.drop { $0 == " " }
            if ["+++", "---", "<..."].contains(where: { call.hasPrefix($0) }) { return nil }
            return String(call.prefix { $0 != "(" })
        }
    }

    @Test("A constant, and one for each file and each receiver: 1 to 8 files to 1 to 8 receivers")
    func count() throws {
        try requireTool("strace")
        try withTemporaryDirectory { folder in
            let files = (0..<8).map { "\(folder)/f\($0)" }
            for (place, file) in files.enumerated() {
                try writeFile(file, sampleBytes(100_000 << place % 6, seed: UInt64(place)))
            }
            let receivers = try (0..<8).map { try RunningReceiver("\(folder)/out\($0)") }
            var constants: [Int: [String]] = [:]
            for fileCount in 1...8 {
                for receiverCount in 1...8 {
                    for receiver in receivers[..<receiverCount] {
                        for name in try directoryEntries(receiver.out) where name != ".spillway" {
                            removeTree("\(receiver.out)/\(name)")
                        }
                    }
                    let made = try calls(Array(files[..<fileCount]), Array(receivers[..<receiverCount]), folder)
                    let rings = made.count { $0 == "io_uring_enter" }
                    // One looks at all files, one says good-bye.
                    #expect(rings == fileCount + receiverCount + 2)
                    constants[made.count - fileCount - receiverCount, default: []].append(
                        "\(fileCount)x\(receiverCount)")
                    for receiver in receivers[..<receiverCount] {
                        let names = try directoryEntries(receiver.out).filter { $0 != ".spillway" }
                        #expect(names == files[..<fileCount].map { String($0.split(separator: "/").last!) })
                    }
                }
            }
            #expect(constants.count == 1, "\(constants)")
            for receiver in receivers {
                for file in files {
                    let name = file.split(separator: "/").last!
                    #expect(try readFile("\(receiver.out)/\(name)") == readFile(file))
                }
                _ = try receiver.stop()
            }
        }
    }

    @Test("What arrives damaged is asked for again, in a later round")
    func damage() throws {
        try withTemporaryDirectory { folder in
            for (name, size) in [("a", 5 << 20), ("b", 700)] { try writeFile("\(folder)/\(name)", sampleBytes(size)) }
            let (good, bad) = (try RunningReceiver("\(folder)/good"), try RunningReceiver("\(folder)/bad"))
            let proxy = try Proxy(to: bad.port, .damage(piece: 3, times: 1))
            defer { proxy.stop() }
            try send(
                ["--method", "minimum", "\(folder)/a", "\(folder)/b", "--report", "\(folder)/r"],
                to: [good.address, "127.0.0.1:\(proxy.port)"]
            ).checked()
            #expect(Report(try readFile("\(folder)/r")).all("resent_pieces") == [0, 1])
            for receiver in [good, bad] {
                #expect(try tree(receiver.out) == ["a": sampleBytes(5 << 20), "b": sampleBytes(700)])
            }
            #expect(try bad.stop()["corrupt_pieces"] == 1)
            #expect(try good.stop()["corrupt_pieces"] == 0)
        }
    }

    @Test("A receiver that is not there, or falls silent, fails alone")
    func absent() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/a", sampleBytes(12 << 20))
            let (good, mute) = (try RunningReceiver("\(folder)/good"), try RunningReceiver("\(folder)/mute"))
            let proxy = try Proxy(to: mute.port, .stall(after: 1 << 20))
            defer { proxy.stop() }
            let result = try send(
                ["--method", "minimum", "\(folder)/a", "--timeout", "2s"],
                to: ["127.0.0.1:1", "127.0.0.1:\(proxy.port)", good.address])
            #expect(result.status == .exited(69))
            #expect(result.errorText.contains("127.0.0.1:1: cannot connect: Connection refused"))
            #expect(result.errorText.contains("127.0.0.1:\(proxy.port): no progress in time"))
            #expect(try tree(good.out) == ["a": sampleBytes(12 << 20)])
            #expect(try tree(mute.out).isEmpty)
        }
    }

    @Test("Directories, files that are not there, and limits it does not know are refused")
    func unsuitable() throws {
        try withTemporaryDirectory { folder in
            let base = ["--method", "minimum"]
            let directory = try send(base + [folder], to: ["127.0.0.1:1"])
            #expect(directory.status == .exited(65) && directory.errorText.contains("\(folder): --method minimum"))
            let missing = try send(base + ["\(folder)/no"], to: ["127.0.0.1:1"])
            #expect(missing.status == .exited(66) && missing.errorText.contains("\(folder)/no"))
            let limit = try send(base + ["--rate", "1M", "x"], to: ["127.0.0.1:1"])
            #expect(limit.status == .exited(64) && limit.errorText.contains("--rate"))
        }
    }
}
