import Machine
import Reassembly
import TestSupport
import Testing

/// A way in which IP is carried, and what the frame of the whole datagram looks like where it is not the same.
struct Carrier: Sendable, CustomTestStringConvertible {
    var name: String
    var linkType: UInt16 = 1
    var isIPv6 = false
    var link: @Sendable ([UInt8], Int) -> [UInt8]
    var whole: (@Sendable ([UInt8], Int) -> [UInt8])?
    var testDescription: String { name }

    private static func type(_ version: Int) -> UInt16 { version == 4 ? 0x0800 : 0x86DD }
    private static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
    private static let addresses: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]
    private static let snap: [UInt8] = [0xAA, 0xAA, 3, 0, 0, 0]

    private static func session(_ packet: [UInt8], _ version: Int) -> [UInt8] {
        [0x11, 0, 0x12, 0x34] + bytes(UInt16(packet.count + 2)) + (version == 4 ? [0, 0x21] : [0, 0x57]) + packet
    }

    static let all: [Carrier] = [
        Carrier(name: "Ethernet", link: { PacketBuilder.ethernet($0, type: type($1)) }),
        Carrier(
            name: "Ethernet with padding",
            link: { packet, version in
                let frame = PacketBuilder.ethernet(packet, type: type(version))
                // Padded fragments, and a trailer behind all of them.
                return frame + [UInt8](repeating: 0xEE, count: max(60 - frame.count, 4))
            }, whole: { PacketBuilder.ethernet($0, type: type($1)) }),
        Carrier(name: "a VLAN", link: { PacketBuilder.ethernet($0, type: type($1), tags: [(0x8100, 0xA064)]) }),
        Carrier(
            name: "QinQ",
            link: { PacketBuilder.ethernet($0, type: type($1), tags: [(0x88A8, 0x0065), (0x8100, 0x0066)]) }),
        Carrier(
            name: "three VLANs",
            link: {
                PacketBuilder.ethernet($0, type: type($1), tags: [(0x9100, 1), (0x8100, 2), (0x8100, 3)])
            }),
        Carrier(
            name: "MPLS",
            link: { packet, _ in PacketBuilder.ethernet([0, 0x12, 0x30, 64, 0, 0x45, 0x61, 64] + packet, type: 0x8847) }
        ),
        Carrier(
            name: "MPLS in a VLAN",
            link: { packet, _ in
                PacketBuilder.ethernet([0, 0x45, 0x61, 64] + packet, type: 0x8847, tags: [(0x8100, 7)])
            }),
        Carrier(
            name: "SNAP becomes an EtherType",
            link: { packet, version in
                addresses + bytes(UInt16(packet.count + 8)) + snap + bytes(type(version)) + packet
            }, whole: { PacketBuilder.ethernet($0, type: type($1)) }),
        Carrier(
            name: "SNAP in a VLAN",
            link: { packet, version in
                addresses + [0x81, 0, 0, 5] + bytes(UInt16(packet.count + 8)) + snap + bytes(type(version)) + packet
            }, whole: { PacketBuilder.ethernet($0, type: type($1), tags: [(0x8100, 5)]) }),
        Carrier(name: "PPPoE", link: { PacketBuilder.ethernet(session($0, $1), type: 0x8864) }),
        Carrier(
            name: "PPPoE in a VLAN",
            link: { PacketBuilder.ethernet(session($0, $1), type: 0x8864, tags: [(0x8100, 9)]) }),
        Carrier(name: "PPPoE without Ethernet", linkType: 51, link: { session($0, $1) }),
        Carrier(name: "BSD loopback", linkType: 0, link: { [$1 == 4 ? 2 : 30, 0, 0, 0] + $0 }),
        Carrier(name: "loopback in network order", linkType: 108, link: { [0, 0, 0, $1 == 4 ? 2 : 24] + $0 }),
        Carrier(
            name: "Linux cooked", linkType: 113,
            link: { [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0] + bytes(type($1)) + $0 }),
        Carrier(
            name: "Linux cooked with a VLAN", linkType: 113,
            link: { [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, 7] + bytes(type($1)) + $0 }),
        Carrier(
            name: "Linux cooked 2", linkType: 276,
            link: { bytes(type($1)) + [0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0] + $0 }),
        Carrier(
            name: "SNAP in Linux cooked 2", linkType: 276,
            link: { [0, 4, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0] + snap + bytes(type($1)) + $0 },
            whole: { bytes(type($1)) + [0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0] + $0 }),
        Carrier(name: "PPP", linkType: 9, link: { (($1 == 4 ? [0, 0x21] : [0, 0x57]) as [UInt8]) + $0 }),
        Carrier(name: "PPP in HDLC", linkType: 50, link: { [0xFF, 3, 0, $1 == 4 ? 0x21 : 0x57] + $0 }),
        Carrier(name: "Cisco HDLC", linkType: 104, link: { [0x0F, 0] + bytes(type($1)) + $0 }),
        Carrier(name: "bare IP", linkType: 12, link: { packet, _ in packet }),
        Carrier(name: "bare IP of a capture", linkType: 101, link: { packet, _ in packet }),
    ]
}

@Suite("Link layers", .timeLimit(.minutes(5)))
struct LinkTests {
    @Test(
        "The datagram comes out behind the first fragment's link header, mended where it must be",
        arguments: Carrier.all)
    func carried(_ carrier: Carrier) throws {
        for version in [4, 6] {
            let rig = try Rig(linkType: carrier.linkType)
            var sample = Sample(size: 2799, version: version)
            sample.link = carrier.link
            var whole = sample
            whole.link = carrier.whole ?? carrier.link
            for fragments in [
                sample.fragments(of: 1400), sample.fragments(of: 1400).reversed(), sample.fragments(of: 1000),
            ] {
                rig.send(fragments)
                #expect(rig.datagrams.last?.bytes == whole.whole, "IPv\(version)")
                #expect(rig.heads.last == Array(whole.whole.prefix(256)), "IPv\(version)")
            }
            // A last fragment so short that its frame is padded.
            sample.data = Array(sample.data.prefix(1401))
            whole.data = sample.data
            rig.send(sample.fragments(of: 1400))
            #expect(rig.datagrams.count == 4)
            #expect(rig.datagrams.last?.bytes == whole.whole, "IPv\(version)")
            #expect(rig.passed.isEmpty)
            rig.expectNothingLost()
        }
    }

    @Test("Bare IP of one version", arguments: [4, 6])
    func bare(_ version: Int) throws {
        let rig = try Rig(linkType: version == 4 ? 228 : 229)
        var sample = Sample(size: 5000, version: version)
        sample.link = { packet, _ in packet }
        rig.send(sample.fragments(of: 1200).reversed())
        #expect(rig.datagrams.map(\.bytes) == [sample.whole])
        rig.expectNothingLost()
    }

    @Test("IPv4 options are the first fragment's, and other flags than 'more fragments' stay")
    func options() throws {
        let rig = try Rig()
        var sample = Sample(size: 2000)
        // Router alert, and padding.
        sample.options = [0x94, 4, 0, 0, 1, 1, 1, 0]
        var fragments = sample.fragments(of: 1000)
        // The second fragment does not copy the options (RFC 791, section 3.1).
        var plain = sample
        plain.options = []
        fragments[1] = plain.fragments(of: 1000)[1]
        rig.send(fragments)
        #expect(rig.datagrams.map(\.bytes) == [sample.whole])
        // "Don't fragment" with fragments is odd, but what the sender said.
        var odd = sample.fragments(of: 1000)
        odd[0][20] |= 0x40
        rig.send(odd)
        var expected = sample.whole
        expected[20] |= 0x40
        expected = Array(expected[..<14]) + withChecksum(Array(expected[14...]))
        #expect(rig.datagrams.last?.bytes == expected)
        rig.expectNothingLost()
    }

    @Test("An IPv6 fragment header anywhere behind extension headers")
    func extensions() throws {
        let chains: [[(type: UInt8, body: [UInt8])]] = [
            [(0, [5, 2, 0, 0])], [(60, [1, 4, 0, 0, 0, 0])], [(43, [0, 0, 0, 0])],
            [(0, [5, 2, 0, 0]), (60, [UInt8](repeating: 1, count: 30)), (43, [0, 0])],
            [(0, [UInt8](repeating: 1, count: 600)), (43, [UInt8](repeating: 0, count: 700))],
        ]
        for extensions in chains {
            let rig = try Rig()
            var sample = Sample(size: 3000, version: 6)
            sample.extensions = extensions
            for fragments in [sample.fragments(of: 1200), sample.fragments(of: 1200).reversed()] {
                rig.send(fragments)
                #expect(rig.datagrams.last?.bytes == sample.whole)
            }
            #expect(rig.datagrams.count == 2)
            rig.expectNothingLost()
        }
    }
}
