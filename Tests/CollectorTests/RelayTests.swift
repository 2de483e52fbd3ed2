import Glibc
import TestSupport
import Testing

@Suite("The relay and the collector together", .serialized)
struct RelayTests {
    /// A classic capture with nanoseconds of numbered packets.
    private func capture(_ count: Int, from first: Int = 0) -> [UInt8] {
        var out = ByteWriter(.little)
        out.number(UInt32(0xa1b2_3c4d))
        out.number(UInt16(2))
        out.number(UInt16(4))
        out.number(UInt64(0))
        out.number(UInt32(65535))
        out.number(UInt32(1))
        for number in first..<count {
            let time = Deliveries.start + UInt64(number) * 5_000_000
            out.number(UInt32(time / 1_000_000_000))
            out.number(UInt32(time % 1_000_000_000))
            out.number(UInt32(200))
            out.number(UInt32(200))
            out.number(UInt64(number))
            out.raw([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 192))
        }
        return out.bytes
    }

    /// Checks that the numbers in the files are exactly those of the capture, each with its time.
    private func check(_ folder: String, _ count: Int) throws {
        let packets = try CollectedFile.all(in: folder).flatMap(\.packets)
        var numbers: [UInt64: Int] = [:]
        for packet in packets {
            let number = packet.bytes.prefix(8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            numbers[number, default: 0] += 1
            #expect(packet.time == Deliveries.start + number * 5_000_000 && packet.original == 200)
        }
        #expect(numbers.count == count && numbers.values.allSatisfy { $0 == 1 })
    }

    @Test("A capture through relay and collector: the same packets, though the collector is killed again and again")
    func kills() throws {
        try withTemporaryDirectory { folder in
            let count = 30_000
            try writeFile("\(folder)/in.pcap", capture(count))
            var collector = try RunningCollector("\(folder)/out", ["--rotate-size", "256K"])
            let port = collector.port
            let relay = try ChildProcess(
                try builtExecutable("spillway"),
                [
                    "run", "-r", "\(folder)/in.pcap", "--to", "127.0.0.1:\(port),ack=required", "--memory", "64M",
                    "--batch-size", "4K", "--pace", "10Kpps", "--name", "sensor", "--drain-timeout", "30s",
                ])
            defer { relay.send(signal: SIGKILL, toGroup: true) }
            for _ in 0..<6 {
                usleep(useconds_t.random(in: 100_000..<400_000))
                try collector.kill()
                collector = try RunningCollector("\(folder)/out", ["--rotate-size", "256K"], port: port)
                #expect(collector.port == port)
            }
            let result = try relay.wait()
            #expect(result.status == .exited(0), "\(result.errorText)")
            let report = try collector.stop()
            #expect(report["corrupt"] == 0)
            try check("\(folder)/out", count)
        }
    }

    @Test("With a token and durable acknowledgements")
    func token() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in.pcap", capture(2000))
            try writeFile("\(folder)/token", sampleBytes(32, seed: 5))
            let collector = try RunningCollector(
                "\(folder)/out", ["--ack", "durable", "--token-file", "\(folder)/token"])
            let arguments = [
                "run", "-r", "\(folder)/in.pcap", "--to", "127.0.0.1:\(collector.port)", "--memory", "64M",
            ]
            let result = try TestSupport.run(
                try builtExecutable("spillway"), arguments + ["--token-file", "\(folder)/token"])
            #expect(result.status == .exited(0), "\(result.errorText)")
            _ = try collector.stop()
            try check("\(folder)/out", 2000)
        }
    }

    @Test(
        "How old what arrives is: both ends measure it by themselves, and differ by the way back of the acknowledgement"
    )
    func ages() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in.pcap", capture(8000))
            let collector = try RunningCollector("\(folder)/out")
            let proxy = try CuttingProxy(to: collector.port, delay: 60)
            defer { proxy.stop() }
            let start = ContinuousClock.now
            let result = try TestSupport.run(
                try builtExecutable("spillway"),
                [
                    "run", "-r", "\(folder)/in.pcap", "--to", "127.0.0.1:\(proxy.port),ack=required", "--memory", "64M",
                    "--pace", "4Kpps", "--report", "\(folder)/report",
                ])
            #expect(result.status == .exited(0), "\(result.errorText)")
            let whole = (ContinuousClock.now - start) / .milliseconds(1)
            let there = try collector.stop()
            let here = CollectReport(String(decoding: try readFile("\(folder)/report"), as: UTF8.self))
            for (relay, other) in [
                ("age_live_p50_ms", "age_p50_ms"), ("age_live_p99_ms", "age_p99_ms"),
                ("age_of_information_p50_ms", "age_of_information_p50_ms"),
            ] {
                let (one, two) = (try #require(here[relay]), try #require(there[other]))
                // Each way takes 60 ms at least. A quantile is at most 6 % above what was measured, never below.
                #expect(two >= 60 && one >= 120, "\(relay): \(one) here, \(two) there")
                // The same batches at both ends: what is older here is the way back, whatever else holds things up.
                #expect(Double(one) > Double(two) * 0.94, "\(relay): \(one) here, \(two) there")
                // Nothing is older than the run.
                #expect(Double(max(one, two)) <= whole * 1.06, "\(relay): \(one) here, \(two) there, of \(whole)")
            }
        }
    }

    @Test(
        "Under another name than before new packets are delivered, and what an earlier run left waits for its own name")
    func renamed() throws {
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out")
            try writeFile("\(folder)/in.pcap", capture(4000))
            func run(_ name: String, _ more: [String]) throws -> CommandResult {
                let arguments = [
                    "run", "--name", name, "--to", "127.0.0.1:\(collector.port),name=c,ack=required", "--memory", "64M",
                    "--spill", "\(folder)/cache", "--sync", "none",
                ]
                return try ChildProcess(
                    try builtExecutable("spillway"), arguments + more, environment: ["SPILLWAY_RETRY_LIMIT": "200ms"]
                ).wait()
            }
            // Presented under this name; what it says it gets stays on disk, but for a part.
            let proxy = try SteppingProxy()
            let first = try ChildProcess(
                try builtExecutable("spillway"),
                [
                    "run", "--name", "old", "--to", "127.0.0.1:\(proxy.port),name=c,ack=required", "--memory", "64M",
                    "--spill", "\(folder)/cache", "--sync", "none", "-r", "\(folder)/in.pcap", "--batch-size", "4K",
                    "--drain-timeout", "1s",
                ])
            _ = try proxy.pass(to: collector.port, .cut(.toCollector, after: 100_000, byReset: true))
            #expect(try first.wait().status == .exited(69))
            try writeFile("\(folder)/more.pcap", capture(4500, from: 4000))
            try writeFile("\(folder)/empty.pcap", capture(0))
            let other = try run("new", ["-r", "\(folder)/more.pcap", "--drain-timeout", "1s"])
            #expect(other.errorText.contains("packets of earlier runs stay in the cache"), "\(other.errorText)")
            let again = try run("old", ["-r", "\(folder)/empty.pcap"])
            #expect(again.status == .exited(0), "\(again.errorText)")
            _ = try collector.stop()
            try check("\(folder)/out", 4500)
        }
    }
}
