import TestSupport
import Testing

@Suite("Sorting what overlaps")
struct MergeTests {
    @Test("More overlapping batches than the merge holds in memory, some of them not in order inside")
    func wide() throws {
        try withTemporaryDirectory { folder in
            let run = SampleRun(seed: 71)
            // 80 MB of batches that all begin within a millisecond and end a second later; every fourth goes back in time.
            let batches = (0..<1250 as Range<UInt64>).map { number in
                let times: [UInt64] = number % 4 == 3 ? [0, 700, 300, 1000] : [0, 300, 700, 1000]
                return SampleBatch(
                    times.enumerated().map { place, milliseconds in
                        SamplePacket(
                            time: Deliveries.start + milliseconds * 1_000_000 + (number * 7919 % 1250) * 800,
                            original: 16_000, interface: 0,
                            bytes: Array("\(number) \(place)".utf8) + [UInt8](repeating: UInt8(place), count: 15_900))
                    }, run: run, number: number)
            }
            let collector = try RunningCollector("\(folder)/out")
            for part in stride(from: 0, to: batches.count, by: 125) {
                #expect(try Deliveries.deliver(Array(batches[part..<part + 125]), to: collector.port))
            }
            _ = try collector.stop()
            // Reading the file checks the order of times.
            let files = try CollectedFile.all(in: "\(folder)/out")
            #expect(files.count == 1 && difference(files, batches) == nil)
        }
    }

    @Test("The file is the same to the byte whatever order its batches came in")
    func order() throws {
        try withTemporaryDirectory { folder in
            let run = SampleRun(seed: 72, interfaces: 2)
            // Many packets of the same time, from two workers.
            let batches = (0..<2).flatMap { worker in
                (0..<20 as Range<UInt64>).map { number in
                    SampleBatch(
                        (0..<4).map { place in
                            SamplePacket(
                                time: Deliveries.start + number / 4 * 1000, original: 60, interface: UInt32(place % 2),
                                bytes: sampleBytes(20, seed: Int(number) * 8 + place + worker * 1000))
                        }, run: run, worker: UInt16(worker), number: number)
                }
            }
            var contents: Set<[UInt8]> = []
            for turn in 0..<4 {
                let collector = try RunningCollector("\(folder)/\(turn)")
                #expect(try Deliveries.deliver(batches.shuffled(), to: collector.port))
                _ = try collector.stop()
                let file = try #require(try CollectedFile.all(in: "\(folder)/\(turn)").first)
                contents.insert(try readFile("\(folder)/\(turn)/\(file.name)"))
            }
            #expect(contents.count == 1)
        }
    }

    @Test("The file is the same to the byte whether its batches were known from writing them or had to be read again")
    func known() throws {
        try withTemporaryDirectory { folder in
            let runs = [SampleRun(seed: 73, interfaces: 1), SampleRun(seed: 74, interfaces: 3)]
            // Several runs and interfaces, overlapping batches, and batches that stand alone.
            let batches = runs.flatMap { run in
                Deliveries.batches(run, 0..<30, packets: 4, length: 900)
            }
            var contents: Set<[UInt8]> = []
            for isKilled in [false, true] {
                let out = "\(folder)/\(isKilled)"
                let collector = try RunningCollector(out)
                #expect(try Deliveries.deliver(batches, to: collector.port, ends: false))
                if isKilled {
                    try collector.kill()
                    _ = try RunningCollector(out).stop()
                } else {
                    _ = try collector.stop()
                }
                let files = try CollectedFile.all(in: out)
                #expect(files.count == 1 && difference(files, batches) == nil)
                contents.insert(try readFile("\(out)/\(files[0].name)"))
            }
            #expect(contents.count == 1)
        }
    }
}
