import Pcapng
import TestSupport
import Testing

private typealias Build = PacketBuilder

/// A packet, written down by hand or built, and what its headers say.
struct HeaderSample: Sendable, CustomTestStringConvertible {
    let name: String
    var linkType: UInt16 = 1
    let bytes: [UInt8]
    let expected: HeaderFacts
    /// What an ICMP error in it quotes.
    var quoted = HeaderFacts()

    var testDescription: String { name }
}

private let four = ("192.0.2.1", "198.51.100.2")
private let six = ("2001:db8::1", "2001:db8::2")

private func facts4(
    _ number: UInt8, _ ports: (UInt16, UInt16)? = nil, fragment: UInt16 = 0, more: Bool = false
)
    -> HeaderFacts
{
    HeaderFacts(4, four.0, four.1, protocolNumber: number, ports: ports, fragment: fragment, more: more)
}

private func facts6(
    _ number: UInt8, _ ports: (UInt16, UInt16)? = nil, fragment: UInt16 = 0, more: Bool = false
)
    -> HeaderFacts
{
    HeaderFacts(6, six.0, six.1, protocolNumber: number, ports: ports, fragment: fragment, more: more)
}

private let udp = Build.udp(Array("payload".utf8), from: 4660, to: 53)
private let tcp = Build.tcp(Array("payload".utf8), from: 57012, to: 443)
private let udp4 = Build.ipv4(udp, protocolNumber: 17)
private let tcp6 = Build.ipv6(tcp, nextHeader: 6)

/// Octets as they would stand on the wire, so that at least these do not come from the builder.
private let literal: [HeaderSample] = [
    HeaderSample(
        name: "literal: Ethernet, IPv4, TCP with a SYN",
        bytes: [
            0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x08, 0x00,
            0x45, 0x00, 0x00, 0x28, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x00, 0x00, 10, 1, 2, 3, 10, 4, 5, 6,
            0xde, 0xb4, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x04, 0x00, 0, 0, 0, 0,
        ], expected: HeaderFacts(4, "10.1.2.3", "10.4.5.6", protocolNumber: 6, ports: (57012, 443))),
    HeaderSample(
        name: "literal: 802.1ad and 802.1Q tags, IPv6, UDP",
        bytes: [
            0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x01, 0x88, 0xa8, 0x60, 0x64, 0x81, 0x00, 0x00, 0x0a,
            0x86, 0xdd,
            0x60, 0, 0, 0, 0x00, 0x08, 0x11, 0x40,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 1,
            0x14, 0xe9, 0x14, 0xe9, 0x00, 0x08, 0, 0,
        ], expected: HeaderFacts(6, "fe80::1", "ff02::1", protocolNumber: 17, ports: (5353, 5353))),
]

private let ethernet: [HeaderSample] = [
    HeaderSample(
        name: "UDP over IPv4", bytes: Build.ethernet(udp4, type: 0x0800), expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "TCP over IPv6", bytes: Build.ethernet(tcp6, type: 0x86dd), expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "one VLAN tag", bytes: Build.ethernet(udp4, type: 0x0800, tags: [(0x8100, 0xa064)]),
        expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "three tags of three kinds",
        bytes: Build.ethernet(tcp6, type: 0x86dd, tags: [(0x9100, 1), (0x88a8, 2), (0x8100, 3)]),
        expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "MPLS with two labels", bytes: Build.ethernet([0, 1, 0, 64, 0, 2, 1, 64] + udp4, type: 0x8847),
        expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "MPLS behind a VLAN tag, IPv6",
        bytes: Build.ethernet([0, 1, 1, 64] + tcp6, type: 0x8847, tags: [(0x8100, 5)]),
        expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "PPPoE session, IPv4",
        bytes: Build.ethernet([0x11, 0, 0, 1, 0, UInt8(udp4.count + 2), 0x00, 0x21] + udp4, type: 0x8864),
        expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "802.3 with LLC and SNAP",
        bytes: Build.ethernet([0xaa, 0xaa, 3, 0, 0, 0, 8, 0] + udp4, type: UInt16(udp4.count + 8)),
        expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "ARP has no IP",
        bytes: Build.ethernet([0, 1, 8, 0, 6, 4, 0, 1] + [UInt8](repeating: 1, count: 20), type: 0x0806),
        expected: HeaderFacts()),
    HeaderSample(
        name: "an EtherType of IPv4 before IPv6", bytes: Build.ethernet(tcp6, type: 0x0800),
        expected: HeaderFacts()),
    HeaderSample(
        name: "padding is not taken for ports",
        bytes: Build.ethernet(
            Build.ipv4([], protocolNumber: 17) + [UInt8](repeating: 7, count: 26), type: 0x0800),
        expected: facts4(17)),
    HeaderSample(
        name: "a segment too large for the length field",
        bytes: Build.ethernet(Build.ipv4(tcp, protocolNumber: 6, totalLength: 0), type: 0x0800),
        expected: facts4(6, (57012, 443))),
]

private let network: [HeaderSample] = [
    HeaderSample(
        name: "IPv4 options",
        bytes: Build.ethernet(
            Build.ipv4(tcp, protocolNumber: 6, options: [1, 1, 1, 0] + [148, 4, 0, 0]), type: 0x0800),
        expected: facts4(6, (57012, 443))),
    HeaderSample(
        name: "a header length below 20", bytes: Build.ethernet([0x44] + udp4.dropFirst(), type: 0x0800),
        expected: HeaderFacts()),
    HeaderSample(
        name: "a total length below the header's",
        bytes: Build.ethernet(Build.ipv4(udp, protocolNumber: 17, totalLength: 19), type: 0x0800),
        expected: HeaderFacts()),
    HeaderSample(
        name: "first fragment",
        bytes: Build.ethernet(Build.ipv4(udp, protocolNumber: 17, fragment: 0x2000), type: 0x0800),
        expected: facts4(17, (4660, 53), more: true)),
    HeaderSample(
        name: "middle fragment",
        bytes: Build.ethernet(Build.ipv4(udp, protocolNumber: 17, fragment: 0x2000 | 185), type: 0x0800),
        expected: facts4(17, fragment: 1480, more: true)),
    HeaderSample(
        name: "last fragment, farthest offset",
        bytes: Build.ethernet(Build.ipv4(udp, protocolNumber: 17, fragment: 0x1fff), type: 0x0800),
        expected: facts4(17, fragment: 65528)),
    HeaderSample(
        name: "SCTP ports", bytes: Build.ethernet(Build.ipv4(tcp, protocolNumber: 132), type: 0x0800),
        expected: facts4(132, (57012, 443))),
    HeaderSample(
        name: "GRE has no ports", bytes: Build.ethernet(Build.ipv4(tcp, protocolNumber: 47), type: 0x0800),
        expected: facts4(47)),
    HeaderSample(
        name: "three extension headers",
        bytes: Build.ethernet(
            Build.ipv6(
                Build.extensionHeader(next: 43)
                    + Build.extensionHeader(next: 60, [UInt8](repeating: 0, count: 14))
                    + Build.extensionHeader(next: 6) + tcp, nextHeader: 0), type: 0x86dd),
        expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "authentication header",
        bytes: Build.ethernet(
            Build.ipv6([17, 4] + [UInt8](repeating: 0, count: 22) + udp, nextHeader: 51), type: 0x86dd),
        expected: facts6(17, (4660, 53))),
    HeaderSample(
        name: "first IPv6 fragment",
        bytes: Build.ethernet(
            Build.ipv6(
                Build.fragmentHeader(next: 17, offset: 0, more: true, identification: 0xdead_beef) + udp,
                nextHeader: 44), type: 0x86dd), expected: facts6(17, (4660, 53), more: true)),
    HeaderSample(
        name: "later IPv6 fragment behind options",
        bytes: Build.ethernet(
            Build.ipv6(
                Build.extensionHeader(next: 44)
                    + Build.fragmentHeader(next: 17, offset: 1448, more: false, identification: 9) + udp,
                nextHeader: 0),
            type: 0x86dd), expected: facts6(17, fragment: 1448)),
    HeaderSample(
        name: "atomic IPv6 fragment",
        bytes: Build.ethernet(
            Build.ipv6(
                Build.fragmentHeader(next: 6, offset: 0, more: false, identification: 1) + tcp, nextHeader: 44
            ),
            type: 0x86dd), expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "no next header", bytes: Build.ethernet(Build.ipv6([], nextHeader: 59), type: 0x86dd),
        expected: facts6(59)),
]

private let otherLinks: [HeaderSample] = [
    HeaderSample(
        name: "LINKTYPE_NULL, little endian", linkType: 0, bytes: [2, 0, 0, 0] + udp4,
        expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "LINKTYPE_NULL, big endian", linkType: 0, bytes: [0, 0, 0, 30] + tcp6,
        expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "LINKTYPE_LOOP", linkType: 108, bytes: [0, 0, 0, 24] + tcp6, expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "LINKTYPE_LINUX_SLL", linkType: 113,
        bytes: [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0x00] + udp4,
        expected: facts4(17, (4660, 53))),
    HeaderSample(
        name: "LINKTYPE_LINUX_SLL with a VLAN tag", linkType: 113,
        bytes: [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0x00, 0, 7, 0x86, 0xdd] + tcp6,
        expected: facts6(6, (57012, 443))),
    HeaderSample(
        name: "LINKTYPE_LINUX_SLL2", linkType: 276,
        bytes: [0x08, 0x00, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0] + udp4,
        expected: facts4(17, (4660, 53))),
    HeaderSample(name: "LINKTYPE_RAW, IPv4", linkType: 101, bytes: udp4, expected: facts4(17, (4660, 53))),
    HeaderSample(name: "LINKTYPE_RAW, IPv6", linkType: 101, bytes: tcp6, expected: facts6(6, (57012, 443))),
    HeaderSample(name: "LINKTYPE_IPV4", linkType: 228, bytes: udp4, expected: facts4(17, (4660, 53))),
    HeaderSample(name: "LINKTYPE_IPV4 with IPv6 in it", linkType: 228, bytes: tcp6, expected: HeaderFacts()),
    HeaderSample(name: "LINKTYPE_IPV6", linkType: 229, bytes: tcp6, expected: facts6(6, (57012, 443))),
    HeaderSample(name: "a link type nobody reads", linkType: 189, bytes: udp4, expected: HeaderFacts()),
]

private let errors: [HeaderSample] = [
    HeaderSample(
        name: "ICMP port unreachable",
        bytes: Build.ethernet(
            Build.ipv4(Build.icmp(type: 3, code: 3, udp4), protocolNumber: 1), type: 0x0800),
        expected: facts4(1),
        quoted: facts4(17, (4660, 53))),
    HeaderSample(
        name: "ICMPv6 packet too big, with extension headers in the quotation",
        bytes: Build.ethernet(
            Build.ipv6(
                Build.icmp(
                    type: 2, Build.ipv6(Build.extensionHeader(next: 6) + tcp, nextHeader: 60)), nextHeader: 58
            ),
            type: 0x86dd), expected: facts6(58), quoted: facts6(6, (57012, 443))),
    HeaderSample(
        name: "an echo quotes nothing",
        bytes: Build.ethernet(Build.ipv4(Build.icmp(type: 8, udp4), protocolNumber: 1), type: 0x0800),
        expected: facts4(1)),
    HeaderSample(
        name: "an ICMPv6 neighbour message quotes nothing",
        bytes: Build.ethernet(Build.ipv6(Build.icmp(type: 135, tcp6), nextHeader: 58), type: 0x86dd),
        expected: facts6(58)),
]

/// All of them.
let headerSamples = literal + ethernet + network + otherLinks + errors

@Suite("Packet headers")
struct HeadersTests {
    @Test("Each kind of packet says what it says", arguments: headerSamples)
    func kinds(_ sample: HeaderSample) {
        let read = GuardedPage().headers(of: sample.bytes, linkType: sample.linkType)
        #expect(HeaderFacts(read.outer) == sample.expected)
        #expect(HeaderFacts(read.quoted) == sample.quoted)
    }

    @Test(
        "Cut at any length nothing is read beyond it, and what is still said is true",
        arguments: headerSamples)
    func truncated(_ sample: HeaderSample) {
        let page = GuardedPage()
        var known = HeaderFacts()
        for length in 0...sample.bytes.count {
            let read = page.headers(of: sample.bytes.prefix(length), linkType: sample.linkType)
            let facts = HeaderFacts(read.outer)
            #expect(Int(read.outer.networkEnd) <= length)
            #expect(Int(read.outer.transportOffset) <= length)
            #expect([0, sample.expected.version].contains(facts.version))
            if facts.version != 0 {
                #expect(
                    facts.source == sample.expected.source && facts.destination == sample.expected.destination
                )
            }
            // Knowledge only grows with the length.
            if known.version != 0 { #expect(facts.version == known.version) }
            if known.sourcePort != nil { #expect(facts.sourcePort == known.sourcePort) }
            #expect(facts.sourcePort == nil || facts.sourcePort == sample.expected.sourcePort)
            known = facts
        }
        #expect(known == sample.expected)
    }

    @Test("Where things lie: offsets, end, VLANs, identification")
    func places() {
        let frame = Build.ethernet(
            Build.ipv4(
                udp, protocolNumber: 17, options: [1, 1, 1, 1], fragment: 0x2000, identification: 0x1234)
                + [9, 9, 9], type: 0x0800, tags: [(0x88a8, 0xe064), (0x8100, 0x000a)])
        let found = headers(of: frame)
        #expect(found.networkOffset == 22)
        #expect(found.transportOffset == 46)
        #expect(Int(found.networkEnd) == frame.count - 3)
        #expect(found.vlanCount == 2 && found.outerVLAN == 100 && found.innerVLAN == 10)
        #expect(found.identification == 0x1234 && found.isFragment && !found.hasFragmentHeader)

        let fragment = Build.fragmentHeader(next: 17, offset: 8, more: true, identification: 0xdead_beef)
        let second = headers(of: Build.ethernet(Build.ipv6(fragment + udp, nextHeader: 44), type: 0x86dd))
        #expect(second.networkOffset == 14 && second.transportOffset == 62 && second.hasFragmentHeader)
        #expect(second.identification == 0xdead_beef && second.vlanCount == 0)
    }

    @Test("Endless chains end: tags, labels and extension headers are followed up to a limit")
    func limits() {
        let tags = Build.ethernet(udp4, type: 0x0800, tags: .init(repeating: (0x8100, 1), count: 900))
        #expect(headers(of: tags).version == 0)
        let labels = Build.ethernet([UInt8](repeating: 0, count: 4000), type: 0x8847)
        #expect(headers(of: labels).version == 0)
        let chain = (0..<500).flatMap { _ in Build.extensionHeader(next: 60) }
        let options = headers(of: Build.ethernet(Build.ipv6(chain, nextHeader: 60), type: 0x86dd))
        #expect(options.version == 6 && options.protocolNumber == 60 && !options.hasPorts)
        #expect(options.transportOffset == 0)
    }
}
