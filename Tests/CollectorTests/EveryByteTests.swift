import Glibc
import TestSupport
import Testing

@Suite("Both real ends, and connections that end or come again anywhere", .serialized)
struct EveryByteTests {
    /// A relay that reads numbered packets from its input, each a batch of its own, and comes back at once.
    private final class Sensor {
        let relay: ChildProcess
        private(set) var count = 0

        /// Oldest first: what was never delivered is then one range, however many connections there were, and a greeting
        /// that says so does not outgrow the cut.
        init(through proxy: SteppingProxy) throws {
            relay = try ChildProcess(
                try builtExecutable("spillway"),
                [
                    "run", "-r", "-", "--to", "127.0.0.1:\(proxy.port),ack=required,name=c,order=oldest-first",
                    "--memory", "64M",
                    "--batch-packets", "1", "--name", "steps", "--drain-timeout", "60s",
                ], environment: ["SPILLWAY_RETRY_LIMIT": "1ms"])
            try relay.writeInput(ClassicBuilder(.nanoseconds, linkTypeWord: 1).built("").bytes)
        }

        deinit { relay.send(signal: SIGKILL, toGroup: true) }

        /// Feeds so many more packets.
        func feed(_ more: Int = 1) throws {
            var bytes = ByteWriter(.little)
            for number in count..<count + more {
                let packet = Self.packet(number)
                bytes.number(UInt32(packet.time / 1_000_000_000))
                bytes.number(UInt32(packet.time % 1_000_000_000))
                bytes.number(UInt32(packet.bytes.count))
                bytes.number(UInt32(packet.bytes.count))
                bytes.raw(packet.bytes)
            }
            count += more
            try relay.writeInput(bytes.bytes)
        }

        static func packet(_ number: Int) -> (time: UInt64, bytes: [UInt8]) {
            (Deliveries.start + UInt64(number) * 1_000_000, sampleBytes(20, seed: number) + Array("\(number)".utf8))
        }

        /// Nothing more will come; everything is delivered over what connections it takes.
        func end(_ proxy: SteppingProxy, _ collector: RunningCollector) throws -> SteppingProxy.Passed {
            // With nothing left to deliver the relay would not come again.
            try feed()
            relay.closeInput()
            let last = try proxy.pass(to: collector.port, .whole)
            let result = try relay.wait()
            #expect(result.status == .exited(0), "\(result.errorText.suffix(2000))")
            return last
        }
    }

    /// What must be in the files beside what is: nothing if each packet is there once, with its time.
    private func difference(_ folder: String, _ count: Int) throws -> String? {
        var balance: [[UInt8]: Int] = [:]
        for packet in try CollectedFile.all(in: folder).flatMap(\.packets) {
            balance[packet.bytes + "\(packet.time)".utf8, default: 0] += 1
        }
        for number in 0..<count {
            let packet = Sensor.packet(number)
            balance[packet.bytes + "\(packet.time)".utf8, default: 0] -= 1
        }
        let (more, missing) = (balance.values.filter { $0 > 0 }.count, balance.values.filter { $0 < 0 }.count)
        return more + missing == 0 ? nil : "\(more) packets too often, \(missing) missing of \(count)"
    }

    /// The types of the whole blocks in a stream.
    private func blockTypes(_ bytes: [UInt8]) -> [UInt32] {
        var types: [UInt32] = []
        var place = 0
        func number(_ place: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) } }
        while place + 8 <= bytes.count, place + Int(number(place + 4)) <= bytes.count {
            types.append(number(place))
            place += max(12, Int(number(place + 4)))
        }
        return types
    }

    /// Whether these are the blocks of a greeting and of two batches, or of two acknowledgements.
    private static func isSession(_ way: SteppingProxy.Way, _ types: [UInt32]) -> Bool {
        switch way {
        case .toCollector:
            types.contains(0x8053_5053) && types.contains(Player.owed) && types.count { $0 == 0x8053_5054 } >= 2
        case .toRelay:
            types.contains(Player.hello) && types.contains(Player.have) && types.count { $0 == Player.ack } >= 2
        }
    }

    @Test(
        "Cut at every byte, one connection for each, both ways, by resets and by closing: each packet is in the files once",
        arguments: [SteppingProxy.Way.toCollector, .toRelay])
    func everyByte(way: SteppingProxy.Way) throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let proxy = try SteppingProxy()
            let collector = try RunningCollector("\(folder)/out")
            let sensor = try Sensor(through: proxy)
            var (offset, isShort) = (0, true)
            while isShort {
                try sensor.feed()
                let passed = try proxy.pass(to: collector.port, .cut(way, after: offset, byReset: offset % 2 == 0)) {
                    // With nothing left to say the byte that is waited for would never come.
                    try sensor.feed()
                }
                #expect(passed[way].count == offset)
                // Until the longest of them had all that a short session is made of, if that fits.
                isShort = offset < 1200 && !Self.isSession(way, blockTypes(passed[way]))
                offset += 1
            }
            #expect(!isShort, "no connection had a greeting and two batches within \(offset) bytes")
            _ = try sensor.end(proxy, collector)
            let report = try collector.stop()
            #expect(report["corrupt"] == 0 && report["packets"] == UInt64(sensor.count))
            #expect(try difference("\(folder)/out", sensor.count) == nil)
        }
    }

    @Test("Whole connections that come again, twice, backwards, side by side and late are dropped by identity")
    func wholeConnections() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let proxy = try SteppingProxy()
            var collector = try RunningCollector("\(folder)/out")
            let sensor = try Sensor(through: proxy)
            var (recorded, held): ([[UInt8]], [(descriptor: CInt, bytes: [UInt8])]) = ([], [])
            for round in 0..<12 {
                try sensor.feed(20)
                // Some connections go on for the collector when the relay has long had others.
                let fate: SteppingProxy.Fate =
                    round % 3 == 1
                    ? .held(from: 700, more: 1500)
                    : .cut(.toCollector, after: 1500 + 211 * round, byReset: round % 2 == 0)
                let passed = try proxy.pass(to: collector.port, fate) { try sensor.feed() }
                recorded.append(passed[.toCollector])
                if let late = passed.held { held.append(late) }
                if round % 4 == 3 {
                    for bytes in recorded.reversed() { try SteppingProxy.play(bytes, to: collector.port) }
                }
            }
            for late in held.reversed() { SteppingProxy.release(late) }
            let last = try sensor.end(proxy, collector)
            recorded.append(last[.toCollector])
            let batches = recorded.map { bytes in blockTypes(bytes).count { $0 == 0x8053_5054 } }
            #expect(batches.reduce(0, +) >= sensor.count)
            let before = try #require(try collector.stop()["packets"])
            #expect(before == UInt64(sensor.count))

            // A later life, which knows everything from the state and the journal of earlier ones.
            collector = try RunningCollector("\(folder)/out")
            for bytes in recorded + recorded + recorded.reversed() {
                try SteppingProxy.play(bytes, to: collector.port)
            }
            let report = try collector.stop()
            #expect(report["packets"] == 0 && report["corrupt"] == 0)
            // Batches, and nothing else, were dropped: all of them, each of the three times.
            #expect(report["duplicates"] == UInt64(3 * batches.reduce(0, +)))
            #expect(try difference("\(folder)/out", sensor.count) == nil)

            // Another collector, which gets no more than the records of these connections, in their order.
            let other = try RunningCollector("\(folder)/other")
            for bytes in recorded { try SteppingProxy.play(bytes, to: other.port) }
            _ = try other.stop()
            #expect(try difference("\(folder)/other", sensor.count) == nil)
        }
    }
}
