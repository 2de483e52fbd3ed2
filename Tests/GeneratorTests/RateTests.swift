import Generator
import TestSupport
import Testing

@Suite("Rates", .serialized)
struct RateTests {
    @Test("100,000 packets a second for two seconds are 200,000 packets, and take two seconds")
    func packets() throws {
        try onWire(["--rate", "100Kpps", "--duration", "2s"]) { wire in
            for name in ["packets", "frames", "sent"] { #expect(try wire.count(name) == 200_000) }
            let seconds = try wire.number("seconds")
            // Never too fast. How late the end may be is a matter of who else wants the processors.
            #expect(seconds >= 2)
            let rate = try wire.number("packets_per_second")
            let isBusy = try load() > 1
            #expect(abs(rate - 100_000) <= (isBusy ? 30_000 : 1_000), "\(rate) in \(seconds) s")
            let numbers = try wire.fields("udp.payload").map { $0[0].prefix(16) }
            #expect(numbers.count == 200_000 && Set(numbers).count == 200_000)
            #expect(numbers.last == "0000000000030d3f")
        }
    }

    /// The machine's load of the last minute per processor, without what this test adds.
    private func load() throws -> Double {
        let text = String(decoding: try readFile("/proc/loadavg"), as: UTF8.self)
        let processors = try run("nproc").checked().outputText.prefix { $0.isNumber }
        return try #require(Double(text.prefix { $0 != " " })) / #require(Double(processors))
    }

    @Test("8 megabits a second for a second are 1000 frames of 1000 bytes")
    func bits() throws {
        try onWire(["--rate", "8Mbps", "--duration", "1s", "--size", "1000"]) { (wire: Wire) throws in
            #expect(try wire.count("frames") == 1000)
            #expect(try wire.count("bytes") == 1_000_000)
            #expect(try wire.fields("frame.len").count == 1000)
        }
    }

    @Test(
        "A rate is never left behind by more than what one call makes, nor run ahead of",
        arguments: [1, 7, 999, 100_000, 14_880_952] as [UInt64])
    func schedule(rate: UInt64) {
        let schedule = Schedule(rate: .packetsPerSecond(rate), duration: 3_000_000_000, meanBits: 512)
        var frames: UInt64 = 0
        var time: UInt64 = 0
        while true {
            let due = schedule.due(at: time, frames: frames, bits: 0)
            frames += due
            // Frame k is due at k / rate: at `time` those with k / rate <= time.
            if due < Schedule.most {
                let expected = UInt64(Double(min(time, 2_999_999_999)) * Double(rate) / 1e9) + 1
                #expect(abs(Int(frames) - Int(expected)) <= 1)
            }
            if due == 0, schedule.next(frames: frames, bits: 0) >= 3_000_000_000 { break }
            time += due < Schedule.most ? 3_333_333 : 0
        }
        #expect(frames == 3 * rate)
    }

    @Test("Bits are made up for after frames of any size")
    func bitSchedule() {
        let schedule = Schedule(rate: .bitsPerSecond(1_000_000), duration: nil, meanBits: 4000)
        #expect(schedule.due(at: 0, frames: 0, bits: 0) == 1)
        #expect(schedule.due(at: 1_000_000, frames: 1, bits: 12_000) == 0)
        #expect(schedule.next(frames: 1, bits: 12_000) == 12_000_000)
        #expect(schedule.due(at: 12_000_000, frames: 1, bits: 12_000) == 1)
        #expect(schedule.due(at: 20_000_000, frames: 1, bits: 12_000) == 3)
        #expect(schedule.due(at: .max / 4, frames: 1, bits: 12_000) == Schedule.most)
    }
}
