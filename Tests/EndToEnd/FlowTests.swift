import Glibc
import TestSupport
import Testing

@Suite("Conversations stay together")
struct FlowTests {
    /// A conversation by its two addresses, in no order.
    private struct Pair: Hashable {
        var addresses: Set<String>
    }

    /// Both directions of many conversations, over IPv4 and IPv6, whole and in fragments, in a VLAN one way only.
    private func traffic() -> [Packet] {
        var frames: [[UInt8]] = []
        for round in 0..<20 {
            for host in 0..<40 {
                let (near, far) = ([10, 0, 0, UInt8(host)], [192, 0, 2, UInt8(host * 7 % 250)])
                let payload = [UInt8](repeating: UInt8(round), count: 64 + host)
                let asks = PacketBuilder.udp(payload, from: UInt16(2000 + round), to: 53)
                let answers = PacketBuilder.tcp(payload, from: 80, to: UInt16(3000 + round))
                let id = UInt16(round * 40 + host)
                frames.append(ethernet4(PacketBuilder.ipv4(asks, protocolNumber: 17, from: near, to: far)))
                frames.append(
                    ethernet4(
                        PacketBuilder.ipv4(answers, protocolNumber: 6, from: far, to: near), tags: [(0x8100, 77)]))
                // Two fragments of a datagram, the second of which has no ports.
                frames.append(
                    ethernet4(
                        PacketBuilder.ipv4(
                            Array(asks[..<24]), protocolNumber: 17, from: near, to: far, fragment: 0x2000,
                            identification: id)))
                frames.append(
                    ethernet4(
                        PacketBuilder.ipv4(
                            Array(asks[24...]), protocolNumber: 17, from: near, to: far, fragment: 3,
                            identification: id)))
                let (one, other) = (
                    PacketBuilder.ipv6Address(UInt8(host)), PacketBuilder.ipv6Address(UInt8(100 + host))
                )
                frames.append(ethernet6(PacketBuilder.ipv6(asks, nextHeader: 17, from: one, to: other)))
                frames.append(ethernet6(PacketBuilder.ipv6(answers, nextHeader: 6, from: other, to: one)))
                let part = PacketBuilder.fragmentHeader(
                    next: 17, offset: 64, more: false, identification: UInt32(id))
                frames.append(ethernet6(PacketBuilder.ipv6(part + payload, nextHeader: 44, from: other, to: one)))
            }
        }
        return frames.enumerated().map { number, frame in
            Packet(
                time: 1_700_000_000_000_000_000 + UInt64(number) * 10_000, original: UInt32(frame.count), bytes: frame)
        }
    }

    private func ethernet4(_ packet: [UInt8], tags: [(type: UInt16, control: UInt16)] = []) -> [UInt8] {
        PacketBuilder.ethernet(packet, type: 0x0800, tags: tags)
    }

    private func ethernet6(_ packet: [UInt8]) -> [UInt8] { PacketBuilder.ethernet(packet, type: 0x86DD) }

    /// The conversations that tshark sees in a stream.
    private func conversations(_ stream: [UInt8], _ path: String) throws -> Set<Pair> {
        try writeFile(path, stream)
        let fields = ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst"].flatMap { ["-e", $0] }
        let result = try run("tshark", ["-n", "-r", path, "-T", "fields", "-E", "separator=,"] + fields).checked()
        return Set(
            result.outputLines.map { line in
                Pair(addresses: Set(line.split(separator: ",").filter { !$0.isEmpty }.map(String.init)))
            })
    }

    @Test(
        "Three collectors: together they have every packet once, and each has its conversations whole",
        arguments: ["off", "on"])
    func whole(reassemble: String) throws {
        try requireTool("tshark")
        try withTemporaryDirectory { folder in
            let packets = traffic()
            try writeFile("\(folder)/in", captureFile(packets))
            let collectors = try (0..<3).map { _ in try ReferenceCollector() }
            defer { for collector in collectors { collector.stop() } }
            let destinations = collectors.enumerated().flatMap {
                [
                    "--to",
                    "127.0.0.1:\($0.element.port),name=c\($0.offset),ack=required,share=\($0.offset == 2 ? 2 : 1)",
                ]
            }
            let result = try relay(
                ["-r", "\(folder)/in", "--distribute", "flow", "--reassemble", reassemble, "-w", "\(folder)/all"]
                    + destinations)
            result.expect(exits: 0)
            let states = collectors.map(\.state)
            #expect(states.allSatisfy { $0.violations == [] })
            let all = try packetsByTshark("\(folder)/all")
            expectSame(states.flatMap { $0.packets.map(Packet.init) }, all)
            if reassemble == "off" { expectSame(all, packets) }
            let found = try states.enumerated().map {
                try conversations($0.element.streams[0], "\(folder)/\($0.offset)")
            }
            let whole = try conversations(readFile("\(folder)/all"), "\(folder)/copy")
            #expect(whole.count == 80)
            #expect(found.reduce(into: Set()) { $0.formUnion($1) } == whole)
            #expect(found.map(\.count).reduce(0, +) == whole.count, "no conversation is at two collectors")
            // With 80 conversations by chance: each of the smaller ones expects 20.
            #expect(found.allSatisfy { $0.count >= 3 })
            // A batch is one destination's.
            for (place, state) in states.enumerated() {
                #expect(Set(state.batches.keys.map(\.lane)) == [UInt16(place + 1)])
            }
            let report = try #require(result.report)
            let sum = try ["c0", "c1", "c2"].map { try report.destination($0).count("assigned") }.reduce(0, +)
            #expect(sum == UInt64(all.count))
        }
    }

    @Test("A collector that dies: its conversations wait for it, and after the time all go to one other")
    func death() throws {
        try withTemporaryDirectory { folder in
            let packets = traffic()
            try writeFile("\(folder)/in", captureFile(packets))
            let collectors = try (0..<3).map { _ in try ReferenceCollector() }
            defer { for collector in collectors.dropFirst() { collector.stop() } }
            let destinations = collectors.enumerated().flatMap {
                ["--to", "127.0.0.1:\($0.element.port),name=c\($0.offset),ack=required"]
            }
            let running = try RunningRelay(
                [
                    "-r", "\(folder)/in", "--distribute", "flow", "--reassemble", "off", "--pace", "4Kpps",
                    "--reassign-after", "300ms", "--batch-time", "2ms",
                ] + destinations)
            try waitUntil("the first packets at the first collector") { collectors[0].state.batches.count > 3 }
            collectors[0].stop()
            let result = try running.finish()
            result.expect(exits: 0)
            let states = collectors.map(\.state)
            // What was in flight when it died may be there twice; everything is there once at least.
            #expect(Set(states.flatMap { $0.packets.map(Packet.init) }) == Set(packets))
            // What was the first one's has gone to the second alone: the third has only what was always its own.
            #expect(Set(states[2].batches.keys.map(\.lane)) == [3])
            #expect(Set(states[1].batches.keys.map(\.lane)).isSuperset(of: [1, 2]))
            let report = try #require(result.report)
            #expect(try report.destination("c0").count("handed_over") == report.destination("c1").count("taken_over"))
            #expect(try report.destination("c1").count("taken_over") > 0)
            #expect(try report.destination("c2").count("taken_over") == 0)
            try expectLedger(result, shared: true)
        }
    }
}
