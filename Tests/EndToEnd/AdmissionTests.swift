import Glibc
import TestSupport
import Testing

@Suite("More comes in than goes out", .serialized)
struct AdmissionTests {
    /// The lane of everybody's diverted batches.
    private static let diverted: UInt16 = 128

    /// A flood of numbered packets at so many bytes per second; returns how many.
    private func flood(_ space: NetworkNamespace, bytesPerSecond: Int, seconds: Double) throws -> Int {
        let (size, portion) = (1000, 100)
        let sender = try space.enter { try FrameSender("left") }
        var sent = 0
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .seconds(seconds) {
            let due = start + .seconds(Double(sent * size) / Double(bytesPerSecond))
            while ContinuousClock.now < due { usleep(500) }
            for number in sent..<sent + portion { try sender.send(liveFrame(number, size: size)) }
            sent += portion
        }
        return sent
    }

    /// A relay with a cache and a small memory.
    private func relay(_ space: NetworkNamespace, _ folder: String, _ port: UInt16, _ more: [String]) throws
        -> RunningRelay
    {
        try space.relay(
            [
                "-i", "right", "--to", "127.0.0.1:\(port),name=it,ack=required", "--spill", "\(folder)/cache", "--sync",
                "none", "--drain-timeout", "60s", "--metrics", "127.0.0.1:0",
            ] + more)
    }

    /// Waits until nothing is owed any more: what is on disk when a run ends would be for the next one.
    private func waitUntilDelivered(_ sent: Int, _ space: NetworkNamespace, _ running: RunningRelay) throws {
        let limit = Duration.seconds(60 + 10 * (Overload.soakSeconds ?? 0))
        try waitUntil("\(sent) packets to be taken and nothing to be owed", timeLimit: limit) {
            usleep(20_000)
            let figures = try SoakFigures(space, running)
            let came = figures.sum("encoded_packets_total")
            let settled = ["delivered_packets_total", "expired_packets_total", "destination_dropped_packets_total"]
            return came + figures.sum("dropped_packets_total") == sent
                && settled.reduce(0) { $0 + figures.sum($1, "it") } == came
        }
    }

    /// Checks that a collector has exactly what was encoded, and returns the numbers by lane.
    private func check(_ state: CollectorState, _ report: Report, sent: Int) throws -> [UInt16: Set<Int>] {
        var lanes: [UInt16: Set<Int>] = [:]
        var count = 0
        for (identity, batch) in state.batches {
            for packet in batch.packets {
                lanes[identity.lane, default: []].insert(number(of: Packet(packet)))
                count += 1
            }
        }
        let all = lanes.values.reduce(into: Set()) { $0.formUnion($1) }
        #expect(all.count == count && state.violations == [])
        #expect(try UInt64(count) == report.count("encoded"))
        let lost = try report.count("captured") - report.count("received")
        #expect(
            all.isSubset(of: Set(0..<sent)) && all.count == sent - Int(lost), "\(report.reasons("dropped")) of \(sent)")
        #expect(try UInt64(lanes[Self.diverted]?.count ?? 0) == report.count("diverted"))
        return lanes
    }

    /// A load in multiples of the drain, and the memory it comes into.
    struct Overload: CustomTestStringConvertible {
        var times: Double
        var segmentSize = "512K"

        /// What leaves room for about ten segments of 2M, of which writers have six in hand; so little that N must rise. More
        /// where much comes: no busy machine's disk is never held up for a moment.
        var memory: String {
            if times > 10 { return Self.soakSeconds == nil ? "96M" : "256M" }
            return segmentSize == "2M" ? "50M" : "40M"
        }

        static var all: [Overload] {
            let loads = soakSeconds == nil ? [0.5, 5, 20] : [0.5, 1, 2, 5, 20]
            return loads.map { Overload(times: $0) } + [Overload(times: 5, segmentSize: "2M")]
        }

        /// How long each lasts, where more is wanted than a look.
        static var soakSeconds: Double? { environmentValue("SPILLWAY_SOAK_SECONDS").flatMap(Double.init) }

        var testDescription: String { "\(times) times the drain, segments of \(segmentSize)" }
    }

    @Test(
        "Below the drain everything is live; at many times of it N rises, nothing is lost, the exact set arrives",
        arguments: Overload.all)
    func overload(_ load: Overload) throws {
        let times = load.times
        let drain = 2_000_000
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                var manners = CollectorManners()
                manners.readsAtMost = drain
                // More than the number and what stands before it of gigabytes would not fit.
                manners.keepsAtMost = 64
                let collector = try space.enter { [manners] in try ReferenceCollector(manners) }
                defer { collector.stop() }
                let proxy = try space.enter { try CuttingProxy(to: collector.port, room: 64 << 10) }
                defer { proxy.stop() }
                let running = try relay(
                    space, folder, proxy.port, ["--memory", load.memory, "--segment-size", load.segmentSize])
                try running.waitFor("it: acknowledges")
                let sent = try flood(
                    space, bytesPerSecond: Int(Double(drain) * times), seconds: Overload.soakSeconds ?? 3)
                // The rest as fast as it can be taken.
                collector.change { $0.readsAtMost = nil }
                proxy.cut()
                try waitUntilDelivered(sent, space, running)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                let greatest = try report.count("admit_n_max")
                if times < 1 {
                    #expect(greatest == 1)
                } else if times > 1 {
                    #expect(greatest > 1, "\(result.command.errorText)")
                    #expect(result.command.errorText.contains("admission: one packet in"))
                }
                #expect(try report.destination("it").losses.isEmpty)
                #expect(try report.destination("it").count("on_disk") == 0)
                let lanes = try check(collector.state, report, sent: sent)
                if times > 1 { #expect(!(lanes[0] ?? []).isEmpty && !(lanes[Self.diverted] ?? []).isEmpty) }
            }
        }
    }

    @Test(
        "The disk full and the collector slow: memory keeps to its budget, and each packet is counted by what became of it",
        arguments: ["drop-oldest", "drop-newest"])
    func fullDisk(_ policy: String) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                try run("mount", ["-t", "tmpfs", "-o", "size=8M", "none", folder]).checked()
                defer { _ = try? run("umount", ["-l", folder]) }
                var manners = CollectorManners()
                manners.readsAtMost = 200_000
                let collector = try space.enter { [manners] in try ReferenceCollector(manners) }
                defer { collector.stop() }
                let proxy = try space.enter { try CuttingProxy(to: collector.port, room: 64 << 10) }
                defer { proxy.stop() }
                let running = try relay(
                    space, folder, proxy.port,
                    ["--memory", "40M", "--segment-size", "512K", "--on-full", policy, "--spill-file-size", "1M"])
                try running.waitFor("it: acknowledges")
                let sent = try flood(space, bytesPerSecond: 20_000_000, seconds: 3)
                collector.change { $0.readsAtMost = nil }
                proxy.cut()
                try waitUntilDelivered(sent, space, running)
                let result = try stop(running)
                result.expect(exits: 0, naming: ["No space left"])
                let report = try expectLedger(result)
                let it = try report.destination("it")
                let gone = try it.losses.values.reduce(0, +) + it.count("expired")
                let packets = collector.state.batches.values.flatMap(\.packets).map { number(of: Packet($0)) }
                let numbers = Set(packets)
                #expect(numbers.count == packets.count && numbers.isSubset(of: 0..<sent))
                // What was on its way when the connection was cut may have arrived, though its file went meanwhile.
                #expect(try UInt64(numbers.count) >= report.count("encoded") - gone - it.count("on_disk"))
                #expect(try it.count("delivered") == report.count("encoded") - gone - it.count("on_disk"))
                // What did not get so far was lost where packets come in, for a reason that has a name.
                let early = report.reasons("dropped").values.reduce(0, +)
                #expect(try early + report.count("encoded") == UInt64(sent), "\(report.reasons("dropped"))")
                #expect(gone + early > 0)
                if policy == "drop-newest" { #expect(it.losses["evicted"] == nil) }
                // The budget, and the constant for the program itself that the relay states at its start.
                #expect(try report.count("memory_peak_bytes") <= (40 + 64) << 20)
            }
        }
    }

    @Test("A fixed N: one packet in four is live, drawn evenly from a source that repeats itself every four packets")
    func fixed() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let collector = try space.enter { try ReferenceCollector() }
                defer { collector.stop() }
                let running = try relay(
                    space, folder, collector.port, ["--memory", "48M", "--segment-size", "512K", "--admit", "4"])
                try running.waitFor("it: acknowledges")
                // The decision is made every few milliseconds.
                usleep(200_000)
                try space.send(0..<8000)
                try waitUntilDelivered(8000, space, running)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result, captured: 8000, encoded: 8000)
                let lanes = try check(collector.state, report, sent: 8000)
                let live = try #require(lanes[0])
                // Exactly one in each four in a row, but where bursts begin; of each phase about as many.
                #expect(abs(live.count - 2000) <= 200)
                for phase in 0..<4 {
                    let here = live.count { $0 % 4 == phase }
                    // Expected are 500, with a standard deviation of about 19.
                    #expect(abs(here - 500) < 150, "phase \(phase)")
                }
                #expect(try report.count("admit_n_max") == 4)
            }
        }
    }

    @Test("By flow conversations stay whole in their lane, and what the filter does not match is always live")
    func byFlow() throws {
        try requireTool("tshark")
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let collector = try space.enter { try ReferenceCollector() }
                defer { collector.stop() }
                let running = try relay(
                    space, folder, collector.port,
                    [
                        "--memory", "48M", "--segment-size", "512K", "--admit", "3", "--admit-by", "flow",
                        "--admit-match", "udp",
                    ])
                try running.waitFor("it: acknowledges")
                usleep(200_000)
                let sender = try space.enter { try FrameSender("left") }
                for round in 0..<30 {
                    for host in 0..<60 {
                        let (near, far) = ([10, 0, 0, UInt8(host)] as [UInt8], [192, 0, 2, UInt8(host)] as [UInt8])
                        let payload = [UInt8](repeating: UInt8(round), count: 60)
                        let asks = PacketBuilder.udp(payload, from: UInt16(2000 + round), to: 53)
                        let answers = PacketBuilder.udp(payload, from: 53, to: UInt16(2000 + round))
                        for packet in [
                            PacketBuilder.ipv4(asks, protocolNumber: 17, from: near, to: far),
                            PacketBuilder.ipv4(answers, protocolNumber: 17, from: far, to: near),
                            PacketBuilder.ipv4(
                                PacketBuilder.tcp(payload, from: 80, to: 81), protocolNumber: 6, from: near, to: far),
                        ] { try sender.send(PacketBuilder.ethernet(packet, type: 0x0800)) }
                    }
                }
                try waitUntilDelivered(5400, space, running)
                let result = try stop(running)
                result.expect(exits: 0)
                try expectLedger(result, captured: 5400, encoded: 5400)
                let state = collector.state
                let (live, diverted) = (try pairs(state, 0, folder), try pairs(state, Self.diverted, folder))
                #expect(live.udp.isDisjoint(with: diverted.udp))
                #expect(live.udp.union(diverted.udp).count == 60)
                #expect(live.tcp.count == 60 && diverted.tcp.isEmpty)
                // A third of 60, with a standard deviation of 3.7.
                #expect((2...42).contains(live.udp.count))
            }
        }
    }

    @Test("What the filter is asked about is a datagram as it is put together, not its last fragment")
    func matchesDatagrams() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let collector = try space.enter { try ReferenceCollector() }
                defer { collector.stop() }
                let running = try relay(
                    space, folder, collector.port,
                    ["--memory", "48M", "--segment-size", "512K", "--admit", "4", "--admit-match", "udp dst port 53"])
                try running.waitFor("it: acknowledges")
                usleep(200_000)
                let sender = try space.enter { try FrameSender("left") }
                for number in 0..<800 {
                    let port = UInt16(53 + number % 2)
                    var sample = DatagramSample(
                        PacketBuilder.udp(sampleBytes(600, seed: number), from: 1000, to: port))
                    sample.identification = UInt32(number)
                    // The first fragment comes first in half of them.
                    let fragments = sample.fragments(of: 400)
                    for frame in number % 4 < 2 ? fragments : fragments.reversed() { try sender.send(frame) }
                }
                try waitUntil("all of it to be delivered", timeLimit: .seconds(60)) {
                    usleep(20_000)
                    return try SoakFigures(space, running).sum("delivered_packets_total", "it") == 800
                }
                let result = try stop(running)
                result.expect(exits: 0)
                var ports: [UInt16: [Int]] = [:]
                for (identity, batch) in collector.state.batches {
                    // Of Ethernet, IPv4 and UDP the destination port.
                    ports[identity.lane, default: []] += batch.packets.map {
                        Int($0.bytes[36]) << 8 | Int($0.bytes[37])
                    }
                }
                let (live, diverted) = (ports[0] ?? [], ports[Self.diverted] ?? [])
                #expect(Set(diverted) == [53] && live.count + diverted.count == 800)
                // One of four stays live: 100 of 400, with a standard deviation below 9.
                #expect((50...150).contains(live.count { $0 == 53 }) && live.count { $0 == 54 } == 400)
            }
        }
    }

    /// The conversations that tshark sees in the batches of a lane.
    private func pairs(
        _ state: CollectorState, _ lane: UInt16, _ folder: String
    ) throws -> (udp: Set<Set<String>>, tcp: Set<Set<String>>) {
        let packets = state.batches.filter { $0.key.lane == lane }.flatMap(\.value.packets).map(Packet.init)
        try writeFile("\(folder)/\(lane)", captureFile(packets))
        let fields = ["ip.src", "ip.dst", "ip.proto"].flatMap { ["-e", $0] }
        let lines = try run("tshark", ["-n", "-r", "\(folder)/\(lane)", "-T", "fields"] + fields).checked().outputLines
        var (udp, tcp): (Set<Set<String>>, Set<Set<String>>) = ([], [])
        for columns in lines.map({ $0.split(separator: "\t").map(String.init) }) where columns.count == 3 {
            if columns[2] == "17" { udp.insert(Set(columns[..<2])) } else { tcp.insert(Set(columns[..<2])) }
        }
        return (udp, tcp)
    }
}
