import Glibc
import TestSupport
import Testing

@Suite("Caches of many files")
struct SpillManyTests {
    /// Packets in windows of packet time, which are ten minutes long; each window gets a file of its own.
    private func packets(windows: Int, each: Int) -> [Packet] {
        (0..<windows * each).map { number in
            let frame = numberedFrame(number)
            let window = 1_700_000_000_000_000_000 + UInt64(number / each) * 1_200_000_000_000
            let time = window + UInt64(number % each) * 1000
            return Packet(time: time, original: UInt32(frame.count), bytes: frame)
        }
    }

    @Test("1,000 files that are kept: who has had them gets nothing twice, who asks for all of them gets all")
    func thousand() throws {
        try withTemporaryDirectory { folder in
            let all = packets(windows: 1000, each: 5)
            try writeFile("\(folder)/in", captureFile(all))
            try writeFile("\(folder)/new", captureFile(numberedPackets(30_000..<30_010)))
            let common = ["--spill", "\(folder)/cache", "--keep", "1h", "--sync", "none"]
            let early = try Reader()
            let first = try relay(
                ["-r", "\(folder)/in", "--batch-packets", "1", "--to", "\(early.address),name=early"] + common)
            first.expect(exits: 0)
            try expectLedger(first, captured: 5000, encoded: 5000)
            try early.waitForEnd()
            expectSame(try Stream(early.streams[0]).packets, all)
            #expect(try cacheFiles("\(folder)/cache").count == 1000)
            let (again, late) = (try Reader(), try Reader())
            let second = try relay(
                ["-r", "\(folder)/new", "--to", "\(again.address),name=early"]
                    + ["--to", "\(late.address),name=late,backlog=all"] + common)
            second.expect(exits: 0)
            let report = try expectLedger(second, captured: 10, encoded: 10)
            #expect(try report.destination("late").count("carried_in") == 5000)
            #expect(try report.destination("early").count("carried_in") == 0)
            try again.waitForEnd()
            try late.waitForEnd()
            #expect(Set(numbers(in: again)) == Set(30_000..<30_010))
            let new = numberedPackets(30_000..<30_010)
            expectSame(try sections(late.streams[0]).flatMap(\.packets), all + new, "what came late")
            // From the newest file to the oldest.
            let order = numbers(in: late).filter { $0 < 5000 }
            #expect(order.prefix(1000).min()! > order.suffix(1000).max()!)
        }
    }
}
