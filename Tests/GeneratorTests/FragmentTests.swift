import TestSupport
import Testing

/// One fragment as tshark shows it; offset and length in bytes.
private struct Piece {
    let packet: UInt64
    let offset: Int
    let length: Int
    let hasMore: Bool
}

@Suite("Fragments at the other end", .serialized)
struct FragmentTests {
    private static let count = 60

    /// Sends packets of 900 to 3000 bytes in fragments of 504.
    private func fragments(
        _ order: String, _ version: Int, _ body: (Wire, [UInt64: [Piece]]) throws -> Void
    ) throws {
        let arguments = ["-c", "\(Self.count)", "--size", "900-3000", "--fragment-size", "504"]
        try onWire(arguments + ["--fragments", order, "--ip", "\(version)"]) { wire in
            let rows =
                version == 4
                ? try wire.fields("ip.id", "ip.frag_offset", "ip.flags.mf", "ip.len")
                : try wire.fields("ipv6.fraghdr.ident", "ipv6.fraghdr.offset", "ipv6.fraghdr.more", "ipv6.plen")
            let pieces = try rows.map { row in
                // The header that each length includes: IPv4's own, or the fragment header.
                let header = version == 4 ? 20 : 8
                return Piece(
                    packet: try #require(UInt64(row[0].dropFirst(2), radix: 16)), offset: try #require(Int(row[1])) * 8,
                    length: try #require(Int(row[3])) - header, hasMore: row[2] == "1" || row[2] == "True")
            }
            #expect(try wire.count("frames") == UInt64(pieces.count))
            #expect(try wire.count("sent") == UInt64(pieces.count))
            let packets = Dictionary(grouping: pieces, by: \.packet)
            #expect(Set(packets.keys) == Set(0..<UInt64(Self.count)))
            try body(wire, packets)
        }
    }

    /// What tshark put together: numbers and words right, checksums good.
    private func expectWhole(_ wire: Wire, _ version: Int) throws {
        let rows = try wire.fields("udp.payload", "udp.checksum.status", "udp.length", filter: "udp")
        #expect(rows.count == Self.count && rows.allSatisfy { $0[1] == "1" })
        var numbers: Set<UInt64> = []
        for row in rows {
            #expect(row[0].utf8.count / 2 == (try #require(Int(row[2]))) - 8)
            let first = String(row[0].prefix(16))
            // Every fragment begins with the packet's number, unless it is too short for it; the payload begins
            // 8 bytes into the first one.
            for start in stride(from: 496 * 2, to: row[0].utf8.count - 15, by: 504 * 2) {
                #expect(row[0].dropFirst(start).prefix(16) == first)
            }
            numbers.insert(try #require(UInt64(first, radix: 16)))
        }
        #expect(numbers == Set(0..<UInt64(Self.count)))
        if version == 4 { #expect(try wire.fields("ip.checksum.status").allSatisfy { $0[0].hasPrefix("1") }) }
    }

    /// Whether these cover everything from 0 to the last one's end, without overlap.
    private func isComplete(_ pieces: [Piece]) -> Bool {
        var end = 0
        for piece in pieces.sorted(by: { $0.offset < $1.offset }) {
            guard piece.offset == end else { return false }
            end += piece.length
        }
        return pieces.count(where: { !$0.hasMore }) == 1
    }

    @Test("In order", arguments: [4, 6])
    func inOrder(version: Int) throws {
        try fragments("in-order", version) { wire, packets in
            for pieces in packets.values {
                #expect(isComplete(pieces) && pieces.map(\.offset) == pieces.map(\.offset).sorted())
                #expect(pieces.dropLast().allSatisfy { $0.length == 504 && $0.hasMore })
            }
            try expectWhole(wire, version)
        }
    }

    @Test("Shuffled: all there, most packets out of order", arguments: [4, 6])
    func shuffled(version: Int) throws {
        try fragments("shuffled", version) { wire, packets in
            #expect(packets.values.allSatisfy(isComplete))
            let disordered = packets.values.count { $0.map(\.offset) != $0.map(\.offset).sorted() }
            #expect(disordered > Self.count / 2)
            #expect(Set(packets.values.map { $0.map(\.offset) }).count > 10)
            try expectWhole(wire, version)
        }
    }

    @Test("Overlapping by 8 bytes that agree", arguments: [4, 6])
    func overlapping(version: Int) throws {
        try fragments("overlapping", version) { wire, packets in
            for pieces in packets.values {
                #expect(pieces.count >= 2 && pieces[0].offset == 0)
                for (one, other) in zip(pieces, pieces.dropFirst()) {
                    #expect(other.offset == one.offset + one.length - 8)
                }
            }
            let layer = version == 4 ? "ip" : "ipv6"
            let rows = try wire.fields("\(layer).fragment.overlap", "\(layer).fragment.overlap.conflict", filter: "udp")
            #expect(rows.count == Self.count)
            #expect(rows.allSatisfy { ($0[0].contains("1") || $0[0].contains("True")) && $0[1].isEmpty })
            try expectWhole(wire, version)
        }
    }

    @Test(
        "Incomplete: one fragment of each is missing, each place is among them, nothing is put together",
        arguments: [4, 6])
    func incomplete(version: Int) throws {
        try fragments("incomplete", version) { (wire: Wire, packets: [UInt64: [Piece]]) throws in
            #expect(packets.values.allSatisfy { !isComplete($0) })
            #expect(packets.values.contains { $0.allSatisfy { $0.offset > 0 } })
            #expect(packets.values.contains { $0.allSatisfy(\.hasMore) })
            for pieces in packets.values {
                // One hole, or one end, of the size of a fragment: offsets are its multiples.
                let indices = pieces.map { $0.offset / 504 }
                #expect(Set(indices).count == indices.count && indices == indices.sorted())
                let holes = Set(0...(indices.max() ?? 0)).subtracting(indices).count
                #expect(holes == (pieces.allSatisfy(\.hasMore) ? 0 : 1))
            }
            #expect(try wire.fields("frame.number", filter: "udp").isEmpty)
        }
    }

    @Test(
        "Packets that fit into a fragment are sent whole, in the same run and after fragmented ones", arguments: [4, 6])
    func mixed(version: Int) throws {
        let arguments = ["-c", "400", "--size", "100-1000", "--fragments", "in-order", "--ip", "\(version)"]
        try onWire(arguments) { wire in
            let rows = try wire.fields("udp.payload", "udp.checksum.status", filter: "udp")
            #expect(rows.count == 400 && rows.allSatisfy { $0[1] == "1" })
            #expect(rows.compactMap { UInt64($0[0].prefix(16), radix: 16) } == Array(0..<400))
            // Those that are whole hold nothing but number and word.
            let whole = version == 4 ? "udp && ip.flags.df == 1" : "udp && !ipv6.fraghdr"
            let small = try wire.fields("udp.payload", filter: whole).map { try number(of: $0[0]) }
            #expect((100..<300).contains(small.count))
        }
    }
}
