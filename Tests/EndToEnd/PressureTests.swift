import TestSupport
import Testing

@Suite("A pool of the smallest size")
struct PressureTests {
    /// What the message of a memory too small says is enough.
    private func leastMemory(_ arguments: [String], namespace: NetworkNamespace? = nil) throws -> String {
        let result = try RunningRelay(arguments + ["--memory", "1M"], namespace: namespace).finish()
        result.expect(exits: 64, naming: ["--memory 1M", "at least"])
        let words = result.command.errorText.split(separator: " ").map(String.init)
        let place = try #require(words.firstIndex(of: "least"))
        return words[place + 1]
    }

    @Test(
        "Files lose nothing",
        arguments: [["--segment-size", "2M"], ["--segment-size", "512K"], ["--batch-packets", "1"]], Threading.allCases)
    func files(options: [String], threading: Threading) throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<20_000)
            try writeFile("\(folder)/in", captureFile(packets))
            let inputs = (0..<4).flatMap { _ in ["-r", "\(folder)/in"] }
            let (slow, quick) = (try Reader(.stalled, receiveBuffer: 16_384), try Reader())
            let arguments =
                try inputs + options + threading.options()
                + ["--to", "\(slow.address),name=slow", "--to", "\(quick.address),name=quick", "-w", "\(folder)/out"]
            let memory = try leastMemory(arguments)
            let running = try RunningRelay(arguments + ["--memory", memory])
            try waitUntil("bytes at the quick reader") { quick.byteCount > 100_000 }
            try slow.waitUntilFull()
            slow.set(.reading)
            let result = try running.finish(timeLimit: .seconds(120))
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 80_000, encoded: 80_000)
            #expect(report.destinations.allSatisfy { $0.losses.isEmpty })
            let all = packets + packets + packets + packets
            for reader in [slow, quick] {
                try reader.waitForEnd()
                expectSame(try Stream(reader.streams.last ?? []).packets, all)
            }
            #expect(try Stream(readFile("\(folder)/out")).packets == all)
        }
    }

    @Test(
        "Live, what is lost is counted to the packet: the oldest or the newest",
        arguments: ["drop-oldest", "drop-newest"], Threading.allCases)
    func live(policy: String, threading: Threading) throws {
        try requireTool("curl")
        try withNetworkNamespace { space in
            let reader = try space.reader(.stalled, receiveBuffer: 4096)
            let arguments =
                [
                    "-i", "right", "--capture", "af-packet", "--on-full", policy, "--metrics", "127.0.0.1:0", "--to",
                    reader.address,
                ] + (try threading.options())
            let memory = try leastMemory(arguments, namespace: space)
            let running = try space.relay(arguments + ["--memory", memory])
            try running.waitFor("connected to")
            try space.send(0..<20_000, size: 1000)
            try space.waitUntilTaken(20_000, by: running)
            reader.set(.reading)
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 20_000)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let numbers = Set(stream.packets.map { number(of: $0) })
            expectFrames(stream.packets, numbers, size: 1000)
            // Whatever the kernel may have lost besides, the sum is exact.
            let atCapture = try report.count("dropped", "kernel") + report.count("dropped", "ring")
            let losses = try report.onlyDestination().losses
            let expected = 20_000 - UInt64(numbers.count) - atCapture
            let newest = try report.count("dropped", "pool_full")
            if policy == "drop-oldest" {
                // A worker that is faster than a segment can be taken from others loses a few of the newest as well.
                #expect(losses.keys.sorted() == ["evicted"])
                #expect(losses.values.reduce(0, +) + newest == expected && expected > 0)
            } else {
                #expect(losses.isEmpty)
                #expect(newest == expected && expected > 0)
                #expect(numbers.isSuperset(of: 0..<1000) || atCapture > 0)
            }
        }
    }
}
