import Machine
import Reassembly
import TestSupport
import Testing

/// Each class of attack with packets written out by hand, and its counter.
@Suite("Attacks with fragments", .timeLimit(.minutes(5)))
struct AttackTests {
    /// Bytes in hexadecimal.
    private func hex(_ text: String) -> [UInt8] {
        let digits = text.filter { !$0.isWhitespace }
        return stride(from: 0, to: digits.count, by: 2).map { place in
            let start = digits.index(digits.startIndex, offsetBy: place)
            return UInt8(digits[start...digits.index(after: start)], radix: 16)!
        }
    }

    /// An IPv4 fragment from 10.0.0.1 to 10.0.0.2 with identification 0x00F2, as bare IP: the word of flags and offset, the
    /// total length, the protocol, and the data.
    private func ipv4(_ word: String, _ length: String, _ data: String, protocolNumber: String = "11") -> [UInt8] {
        hex("4500 \(length) 00F2 \(word) 40 \(protocolNumber) 0000 0A000001 0A000002") + hex(data)
    }

    /// An IPv6 packet from 2001:db8::1 to 2001:db8::2 as bare IP: payload length, next header, the rest.
    private func ipv6(_ length: String, _ next: String, _ rest: String) -> [UInt8] {
        hex("60000000 \(length) \(next) 40 20010db8000000000000000000000001 20010db8000000000000000000000002")
            + hex(rest)
    }

    private func data(_ count: Int, _ byte: String = "AA") -> String { String(repeating: byte, count: count) }

    @Test("Teardrop: the second fragment lies inside the first")
    func teardrop() throws {
        let rig = try Rig(linkType: 228)
        // The classic: 36 bytes with more to come, which are no multiple of 8, and 4 bytes at 24.
        rig.send([ipv4("2000", "0038", data(36))])
        #expect(rig.unassembled == ["bad_length": 1])
        rig.send([ipv4("2000", "003C", data(40)), ipv4("0003", "0018", data(4, "BB"))])
        #expect(rig.datagrams.isEmpty)
        // The last fragment ends at 28, before what is there already.
        #expect(rig.unassembled == ["bad_length": 1, "ends": 2])
        rig.expectNothingLost()
    }

    @Test("New teardrop: overlapping data whose ends agree", arguments: OverlapPolicy.allCases)
    func overlap(_ policy: OverlapPolicy) throws {
        let rig = try Rig(policy, linkType: 228)
        rig.send([ipv4("2000", "002C", data(24)), ipv4("0002", "0024", data(16, "BB"))])
        if policy == .drop {
            #expect(rig.unassembled == ["overlap": 2])
            // What comes later of the same datagram is not put together either (RFC 5722).
            rig.send([ipv4("2000", "002C", data(24)), ipv4("0003", "001C", data(8))])
            #expect(rig.unassembled == ["overlap": 4])
            #expect(rig.datagrams.isEmpty)
        } else {
            #expect(rig.datagrams.count == 1)
            #expect(rig.counters.value(.overlappedDatagrams) == 1)
            let tail = rig.datagrams[0].bytes.suffix(16)
            let isNew = [.last, .bsdRight].contains(policy)
            #expect(Array(tail) == hex(isNew ? data(16, "BB") : data(8) + data(8, "BB")))
        }
        rig.expectNothingLost()
    }

    @Test("Ping of death: the last fragment ends beyond 65535")
    func pingOfDeath() throws {
        let rig = try Rig(linkType: 228)
        // 8189 x 8 = 65512, and 400 bytes of ICMP.
        rig.send([
            ipv4("2000", "001C", "0800 0000 0000 0000", protocolNumber: "01"),
            ipv4("1FFD", "01A4", data(400), protocolNumber: "01"),
        ])
        #expect(rig.datagrams.isEmpty)
        #expect(rig.unassembled == ["too_large": 1])
        // Data of 65516 bytes and a header of 20 are one byte too many.
        rig.send([ipv4("1FFD", "0018", data(4), protocolNumber: "01")])
        #expect(rig.unassembled == ["too_large": 2])
        rig.expectNothingLost()
    }

    @Test("The headers make a datagram too large that would be as large as can be")
    func tooLargeWithOptions() throws {
        let rig = try Rig(memory: 1 << 20)
        var sample = Sample(size: 65515)
        var fragments = sample.fragments(of: 1480)
        sample.options = [1, 1, 1, 1]
        fragments[0] = sample.fragments(of: 1480)[0]
        rig.send(fragments.reversed())
        #expect(rig.datagrams.isEmpty)
        #expect(rig.unassembled == ["too_large": UInt64(fragments.count)])
        rig.expectNothingLost()
    }

    @Test("An IPv6 fragment that ends beyond 65535")
    func largeIPv6() throws {
        let rig = try Rig(linkType: 229)
        rig.send([ipv6("0018", "2C", "11 00 FFF8 00000001 \(data(16))")])
        #expect(rig.unassembled == ["too_large": 1])
        rig.expectNothingLost()
    }

    @Test("Tiny fragments that split the TCP header are put together, and counted")
    func tiny() throws {
        let rig = try Rig(linkType: 228)
        rig.send([
            ipv4("2000", "001C", "0050 0051 00000001", protocolNumber: "06"),
            ipv4("0001", "0020", "00000000 5002 0400 0000 0000", protocolNumber: "06"),
        ])
        #expect(rig.datagrams.count == 1)
        #expect(Array(rig.datagrams[0].bytes[20...]) == hex("0050 0051 00000001 00000000 5002 0400 0000 0000"))
        #expect(rig.counters.value(.tinyFragments) == 1)
        rig.expectNothingLost()
    }

    @Test("Fragments without data, and with a length that its header contradicts")
    func empty() throws {
        let rig = try Rig(linkType: 228)
        rig.send([ipv4("2001", "0014", ""), ipv4("0001", "0014", ""), ipv4("2000", "0000", data(8))])
        #expect(rig.unassembled == ["empty": 3])
        let six = try Rig(linkType: 229)
        six.send([ipv6("0008", "2C", "11 00 0001 00000001"), ipv6("0000", "2C", "11 00 0001 00000001 \(data(8))")])
        #expect(six.unassembled == ["empty": 2])
        rig.expectNothingLost()
        six.expectNothingLost()
    }

    @Test("Lengths that are no multiple of 8 with more to come")
    func badLength() throws {
        for length in 1...7 {
            let rig = try Rig(linkType: 228)
            let total = String(20 + 8 + length, radix: 16)
            rig.send([ipv4("2000", "00\(total)", data(8 + length))])
            #expect(rig.unassembled == ["bad_length": 1])
            // It did not touch the datagram.
            rig.send([ipv4("2000", "001C", data(8)), ipv4("0001", "001C", data(8))])
            #expect(rig.datagrams.count == 1)
            rig.expectNothingLost()
        }
    }

    @Test("Two last fragments that disagree, and data behind the end", arguments: OverlapPolicy.allCases)
    func ends(_ policy: OverlapPolicy) throws {
        for pair in [
            [ipv4("0002", "001C", data(8)), ipv4("0003", "001C", data(8))],
            [ipv4("0003", "001C", data(8)), ipv4("0001", "001C", data(8))],
            [ipv4("0002", "001C", data(8)), ipv4("2003", "001C", data(8))],
            [ipv4("2003", "001C", data(8)), ipv4("0001", "001C", data(8))],
            [ipv4("0002", "001C", data(8)), ipv4("0002", "001B", data(7))],
        ] {
            let rig = try Rig(policy, linkType: 228)
            rig.send(pair)
            #expect(rig.unassembled == ["ends": 2])
            rig.send([ipv4("2000", "0024", data(16))])
            #expect(rig.datagrams.isEmpty)
            #expect(rig.unassembled == ["ends": 3])
            rig.expectNothingLost()
        }
    }

    @Test("Exact duplicates do no harm, also of the last fragment; the same place with another byte is an overlap")
    func duplicates() throws {
        let parts = [ipv4("2000", "001C", data(8)), ipv4("2001", "001C", data(8)), ipv4("0002", "001B", data(7))]
        for order in [[0, 0, 1, 2], [2, 2, 2, 1, 1, 0], [1, 2, 1, 2, 0]] {
            let rig = try Rig(linkType: 228)
            rig.send(order.map { parts[$0] })
            #expect(rig.datagrams.count == 1)
            #expect(rig.datagrams[0].fragments == UInt32(order.count))
            #expect(rig.counters.value(.duplicateFragments) == UInt64(order.count - 3))
            #expect(rig.counters.value(.overlappedDatagrams) == 0)
            rig.expectNothingLost()
        }
        var other = parts[1]
        other[27] ^= 1
        let rig = try Rig(linkType: 228)
        rig.send([parts[0], parts[1], other, parts[2]])
        #expect(rig.unassembled == ["overlap": 4])
        rig.expectNothingLost()
    }

    @Test("IPv6 fragment headers behind one another")
    func nested() throws {
        let rig = try Rig(linkType: 229)
        rig.send([
            ipv6("0018", "2C", "2C 00 0001 00000001  11 00 0001 00000002 \(data(8))"),
            ipv6("0018", "2C", "2C 00 0000 00000001  11 00 0001 00000002 \(data(8))"),
            ipv6("0020", "2C", "3C 00 0001 00000001  2C 00 00 00 00 00 00 00  11 00 0009 00000002 \(data(8))"),
        ])
        #expect(rig.unassembled == ["nested": 3])
        rig.expectNothingLost()
    }

    @Test("Atomic fragments pass at once and do not disturb a datagram with their identification (RFC 6946)")
    func atomic() throws {
        let rig = try Rig(linkType: 229)
        let atomic = ipv6("0010", "2C", "11 00 0000 00000001 \(data(8, "CC"))")
        let parts = [
            ipv6("0010", "2C", "11 00 0001 00000001 \(data(8))"), ipv6("0010", "2C", "11 00 0008 00000001 \(data(8))"),
        ]
        rig.send([parts[0], atomic])
        #expect(rig.passed.map(\.bytes) == [atomic])
        rig.send([parts[1], atomic])
        #expect(rig.datagrams.map(\.bytes) == [ipv6("0010", "11", data(16))])
        #expect(rig.counters.value(.atomicFragments) == 2)
        #expect(rig.unassembled.isEmpty)
        rig.expectNothingLost()
    }

    @Test("Fragments that were not captured whole")
    func cut() throws {
        let rig = try Rig(linkType: 228)
        let whole = ipv4("2000", "003C", data(40))
        for length in 20..<60 {
            rig.send(Frame(Array(whole.prefix(length)), original: 60))
        }
        #expect(rig.unassembled == ["cut": 40])
        rig.expectNothingLost()
    }

    @Test("Protocols with one identification are not mixed in IPv4, and are one datagram in IPv6 (RFC 8200)")
    func protocolConfusion() throws {
        let rig = try Rig(linkType: 228)
        rig.send([
            ipv4("2000", "001C", data(8), protocolNumber: "11"), ipv4("0001", "001C", data(8), protocolNumber: "06"),
        ])
        #expect(rig.datagrams.isEmpty)
        rig.send([
            ipv4("2000", "001C", data(8, "BB"), protocolNumber: "06"),
            ipv4("0001", "001C", data(8, "BB"), protocolNumber: "11"),
        ])
        #expect(
            rig.datagrams.map { Array($0.bytes[20...]) } == [
                hex(data(8, "BB") + data(8)), hex(data(8) + data(8, "BB")),
            ])
        let six = try Rig(linkType: 229)
        six.send([
            ipv6("0010", "2C", "06 00 0008 00000001 \(data(8))"), ipv6("0010", "2C", "11 00 0001 00000001 \(data(8))"),
        ])
        #expect(six.datagrams.map(\.bytes) == [ipv6("0010", "11", data(16))])
        rig.expectNothingLost()
        six.expectNothingLost()
    }

    @Test("Families, VLANs, interfaces and addresses are kept apart")
    func keys() throws {
        let rig = try Rig()
        let sample = Sample(size: 16)
        var variants: [Sample] = [sample]
        variants.append(Sample(size: 16, version: 6))
        var other = sample
        other.source = 7
        variants.append(other)
        other = sample
        other.destination = 7
        variants.append(other)
        other = sample
        other.identification += 1
        variants.append(other)
        let tags: [[(type: UInt16, control: UInt16)]] = [
            [(0x8100, 5)], [(0x8100, 6)], [(0x8100, 0)], [(0x8100, 5), (0x8100, 6)], [(0x8100, 5), (0x8100, 7)],
            [(0x8100, 5), (0x8100, 0)],
        ]
        for tag in tags {
            var tagged = sample
            tagged.link = { packet, _ in PacketBuilder.ethernet(packet, type: 0x0800, tags: tag) }
            variants.append(tagged)
        }
        // The first half of all, then the second half of all: each goes with its own.
        for (number, variant) in variants.enumerated() {
            rig.send(Frame(variant.fragment(0, 0, more: true, bytes: [UInt8](repeating: UInt8(number), count: 8))))
        }
        rig.send(Frame(sample.fragment(0, 0, more: true, bytes: [UInt8](repeating: 99, count: 8)), interface: 1))
        #expect(rig.held == UInt64(variants.count + 1) && rig.datagrams.isEmpty)
        for (number, variant) in variants.enumerated() {
            rig.send(Frame(variant.fragment(8, 0, more: false, bytes: [UInt8](repeating: UInt8(number), count: 8))))
        }
        rig.send(Frame(sample.fragment(8, 0, more: false, bytes: [UInt8](repeating: 99, count: 8)), interface: 1))
        let tails = rig.datagrams.map { Array($0.bytes.suffix(16)) }
        let numbers = variants.indices.map { UInt8($0) } + [99]
        #expect(tails == numbers.map { [UInt8](repeating: $0, count: 16) })
        rig.expectNothingLost()
    }

    @Test("The priority in a VLAN tag may differ between the fragments of a datagram")
    func priorities() throws {
        let rig = try Rig()
        var sample = Sample(size: 16)
        sample.link = { packet, _ in PacketBuilder.ethernet(packet, type: 0x0800, tags: [(0x8100, 5)]) }
        var urgent = sample
        urgent.link = { packet, _ in PacketBuilder.ethernet(packet, type: 0x0800, tags: [(0x8100, 0xE005)]) }
        rig.send([sample.fragment(0, 8), urgent.fragment(8, 16)])
        #expect(rig.datagrams.map(\.bytes) == [sample.whole])
        rig.expectNothingLost()
    }

    @Test("An identification that is used again begins a new datagram")
    func reuse() throws {
        let rig = try Rig()
        for round in 0..<3 {
            let sample = Sample(sampleBytes(3000, seed: round))
            rig.send(sample.fragments(of: 1480))
            #expect(rig.datagrams.last?.bytes == sample.whole)
        }
        #expect(rig.datagrams.count == 3)
        // Used again before it is complete, its fragments are those of two datagrams.
        let (one, two) = (Sample(sampleBytes(3000, seed: 8)), Sample(sampleBytes(3000, seed: 9)))
        rig.send([one.fragments(of: 1480)[0]] + two.fragments(of: 1480))
        #expect(rig.datagrams.count == 3)
        #expect(rig.unassembled == ["overlap": 4])
        rig.expectNothingLost()
    }
}
