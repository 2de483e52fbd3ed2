import Glibc
import TestSupport
import Testing

@Suite("What arrives at the other end", .serialized)
struct WireTests {
    @Test("UDP over IPv4: every number once and in order, every field right")
    func plain() throws {
        try onWire(["-c", "5000", "--size", "100", "--flows", "7"]) { wire in
            let rows = try wire.fields(
                "frame.len", "eth.dst", "ip.src", "ip.dst", "ip.id", "ip.flags", "ip.ttl", "udp.srcport", "udp.dstport",
                "ip.checksum.status", "udp.checksum.status", "udp.payload")
            #expect(rows.count == 5000)
            let expected = (0..<5000).map { index in
                let identifier = "0x" + String(UInt32(index + 0x10000), radix: 16).dropFirst()
                return [
                    "100", "02:00:5e:10:00:02", "198.18.0.\(index % 7)", "198.19.0.1", identifier, "0x02", "64",
                    "10000",
                    "9", "1", "1",
                ]
            }
            #expect(rows.map { Array($0.dropLast()) } == expected)
            #expect(try rows.map { try number(of: $0[11]) } == Array(0..<5000))
            for name in ["packets", "frames", "sent"] { #expect(try wire.count(name) == 5000) }
            #expect(try wire.count("bytes") == 500_000)
        }
    }

    @Test("UDP over IPv6 with two tags, a range of sizes and flows")
    func taggedRange() throws {
        let arguments = [
            "-c", "6000", "--ip", "6", "--vlan", "100,200", "--size", "78-1514", "--flows", "70000",
            "--destination-mac", "02:aa:bb:cc:dd:ee",
        ]
        try onWire(arguments) { wire in
            let rows = try wire.fields(
                "eth.dst", "ieee8021ad.id", "vlan.id", "ipv6.dst", "udp.checksum.status", "frame.len", "ipv6.src",
                "udp.payload")
            #expect(rows.count == 6000)
            #expect(try rows.map { try number(of: $0[7]) } == Array(0..<6000))
            let expected = (0..<6000).map { index in
                [
                    "02:aa:bb:cc:dd:ee", "100,200", "2001:2::1:0:1", "1",
                    "2001:2::" + (index == 0 ? "" : String(index, radix: 16)),
                ]
            }
            let found = rows.map { row in
                [row[0], row[1].isEmpty ? row[2] : "\(row[1]),\(row[2])", row[3], row[4], row[6]]
            }
            #expect(found == expected)
            let sizes = try rows.map { try #require(Int($0[5])) }
            #expect(sizes.min() == 78 && sizes.max() == 1514)
            // Each tenth of the range has a tenth of the packets, give or take a hundredth.
            let tenths = Dictionary(grouping: sizes) { ($0 - 78) * 10 / 1437 }
            #expect(tenths.count == 10 && tenths.values.allSatisfy { (594...606).contains($0.count) })
        }
    }

    @Test("The mix of sizes: 7, 4 and 1 of 12; one tag")
    func mix() throws {
        try onWire(["-c", "12000", "--size", "imix", "--vlan", "7"]) { wire in
            let rows = try wire.fields("frame.len", "vlan.id", "udp.checksum.status", "udp.payload")
            #expect(try rows.map { try number(of: $0[3]) } == Array(0..<12000))
            #expect(rows.allSatisfy { $0[1] == "7" && $0[2] == "1" })
            let counts = Dictionary(grouping: rows) { $0[0] }.mapValues(\.count)
            #expect(Set(counts.keys) == ["64", "594", "1518"])
            for (size, share) in [("64", 7000), ("594", 4000), ("1518", 1000)] {
                #expect(abs((counts[size] ?? 0) - share) <= 12, "\(counts)")
            }
        }
    }

    @Test("Flows beyond what addresses tell apart have ports of their own")
    func manyFlows() throws {
        try onWire(["-c", "66000", "--flows", "66000", "--rate", "50Kpps"]) { wire in
            let rows = try wire.fields("ip.src", "udp.srcport")
            #expect(rows.count == 66000 && Set(rows).count == 66000)
        }
    }

    @Test(
        "TCP: connections of SYN, data and FIN in each flow, with sequence numbers that grow without a gap",
        arguments: [4, 6])
    func tcp(version: Int) throws {
        let arguments = ["--protocol", "tcp", "--segments", "3", "--flows", "3", "--ip", "\(version)"]
        try onWire(["-c", "300", "--size", "82-1000"] + arguments) { wire in
            let rows = try wire.fields(
                version == 4 ? "ip.src" : "ipv6.src", "tcp.flags", "tcp.seq_raw", "tcp.len", "tcp.checksum.status",
                "tcp.payload", "tcp.analysis.lost_segment", "tcp.analysis.retransmission",
                "tcp.analysis.out_of_order")
            #expect(try rows.map { try number(of: $0[5]) } == Array(0..<300))
            #expect(rows.allSatisfy { $0[4] == "1" && $0[6...].allSatisfy(\.isEmpty) })
            let flows = Dictionary(grouping: rows) { $0[0] }
            #expect(flows.count == 3)
            for flow in flows.values {
                var expected: UInt32?
                for (turn, row) in flow.enumerated() {
                    let (opens, closes) = (turn % 5 == 0, turn % 5 == 4)
                    #expect(row[1] == (opens ? "0x0002" : closes ? "0x0019" : "0x0018"))
                    let sequence = try #require(UInt32(row[2]))
                    if let expected, !opens { #expect(sequence == expected) }
                    if let expected, opens { #expect(sequence > expected) }
                    expected = sequence + (try #require(UInt32(row[3]))) + (opens || closes ? 1 : 0)
                }
            }
        }
    }

    @Test("A signal ends it; all it counted has arrived", arguments: [SIGINT, SIGTERM])
    func signal(signal: CInt) throws {
        let stop: (ChildProcess, String) throws -> Void = { child, path in
            try waitUntil("packets arrive") { try readFile(path).count > 10_000 }
            child.send(signal: signal)
        }
        try onWire(["--rate", "2Kpps"], during: stop) { wire in
            let numbers = try wire.fields("udp.payload").map { try number(of: $0[0]) }
            #expect(numbers == Array(0..<(try wire.count("packets"))) && !numbers.isEmpty)
            #expect(try wire.count("sent") == UInt64(numbers.count))
        }
    }
}
