import Capture
import Machine
import Pcapng
import TestSupport
import Testing

/// The program in the kernel must decide as libpcap does, which is asked about the same frames.
@Suite("Selective filter", .serialized)
struct SelectiveFilterTests {
    /// Every kind of primitive, every qualifier, every way to join them.
    private static let expressions = [
        "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "not ip", "!tcp",
        "proto 6", "ip proto 17", "ip6 proto 58", "ip6 proto 44", "proto 0",
        "host 10.0.0.1", "10.0.0.2", "src 10.0.0.1", "dst host 10.0.0.2", "src or dst host 10.0.0.3",
        "src and dst host 10.0.0.1", "src and dst net 10.0.0.0/16", "ip host 10.0.0.1", "arp host 10.0.0.1",
        "rarp src host 10.0.0.2", "ip6 host 2001:db8::1", "host 2001:db8::2", "src net 2001:db8::/126",
        "net 10", "net 10.0", "net 10.0.1", "net 10.0.0.0", "net 10.0.0.0/30", "net 10.0.0.0 mask 255.255.255.252",
        "net 0.0.0.0/0", "net ::/0", "dst net 10.0.0.0/31 and not dst host 10.0.0.1",
        "port 53", "src port 80", "dst port 443", "tcp port 80", "udp dst port 53", "sctp port 443",
        "portrange 53-80", "tcp src portrange 1-79", "udp portrange 65535-0", "port (53 or 80)", "port 53 or 80",
        "src host 10.0.0.1 or 10.0.0.2", "host (10.0.0.1 or 10.0.0.3) and tcp port 80",
        "host 10.0.0.1 and 10.0.0.2", "not host 10.0.0.1 and not port 53", "not (tcp or port 53)",
        "tcp and (port 80 or port 443) and src net 10.0.0.0/8", "tcp or udp and port 53", "tcp || udp && port 53",
        "(host 10.0.0.1 and tcp port 80) or (host 10.0.0.2 and udp port 53)",
        "ip and not (src net 10.0.0.0/30 and dst net 10.0.0.0/30)", "host 10.0.0.1 or host 2001:db8::1 or arp",
        "vlan", "vlan 100", "vlan and tcp", "vlan 100 and host 10.0.0.1", "vlan 100 and vlan 200",
        "vlan and vlan 200 and udp port 53", "vlan 7 and (tcp or udp)", "vlan 0", "vlan and not ip",
        "net 10.0.0.0/24 and not net 10.0.0.0/30", "tcp or not tcp", "port 80 and not port 80 or icmp",
    ]

    /// Those that are to be refused, and a word of the reason.
    private static let refused = [
        ("ether[0] & 1 = 0", "'ether["), ("ether host 02:00:00:00:00:01", "'ether'"),
        ("host localhost", "not looked up"),
        ("tcp port http", "not looked up"), ("less 100", "'less'"), ("broadcast", "'broadcast'"),
        ("not tcp and vlan 100", "first"), ("vlan 100 and tcp or udp", "first"), ("(vlan 100) and tcp", "'vlan'"),
        ("vlan 1 and vlan 2 and vlan 3", "two"), ("tcp[13] & 2 != 0", "'tcp[13]'"), ("ip protochain 6", "'protochain'"),
        ("vlan 100 or vlan 200", "first"), ("esp", "'esp'"), ("mpls", "'mpls'"),
        (
            (0..<5).map { "(src host 10.0.0.\($0) and tcp and dst port \($0))" }.joined(separator: " or "),
            "more than 16 clauses"
        ),
    ]

    @Test("The program decides as libpcap does, over every primitive and qualifier and random frames")
    func oracle() throws {
        try withNetworkNamespace { space in
            let bench = try SelectionBench(space)
            for expression in Self.expressions { try bench.compare(expression) }
        }
    }

    @Test("The program decides as libpcap does, over random expressions and random frames")
    func randomExpressions() throws {
        try withNetworkNamespace { space in
            let bench = try SelectionBench(space)
            var source = RandomSource(seed: 20261121)
            var compared = 0
            for _ in 0..<60 { compared += try bench.compare(source.expression(depth: 3)) ? 1 : 0 }
            #expect(compared > 25, "most random expressions can be tested in the kernel")
        }
    }

    @Test("What cannot be tested in the kernel is refused, with the word and the reason")
    func refusals() throws {
        for (expression, word) in Self.refused {
            _ = try PacketFilter(expression, linkType: .ethernet)
            let refusal = #expect(throws: SelectiveFilter.Refusal.self, "\(expression)") {
                try SelectiveFilter(expression)
            }
            #expect(refusal?.reason.contains(word) == true, "\(expression): \(refusal?.reason ?? "")")
            #expect(refusal?.description.contains("--tap consume") == true)
        }
    }

    @Test("Two hundred addresses joined by or are one condition, and each of them is found")
    func manyAddresses() throws {
        try withNetworkNamespace { space in
            let bench = try SelectionBench(space)
            let hosts = (0..<200).map { "host 10.0.0.\($0)" }.joined(separator: " or ")
            try bench.compare(
                "(\(hosts)) and not (\(hosts.split(separator: " or ").prefix(3).joined(separator: " or ")))")
        }
    }

    @Test("A list of thousands of addresses and ports is compiled, too", .timeLimit(.minutes(1)))
    func longList() throws {
        let hosts = (0..<3000).map { "host 10.1.\($0 >> 8).\($0 & 255)" }.joined(separator: " or ")
        let ports = (1...2000).map { "port \($0)" }.joined(separator: " or ")
        _ = try SelectiveFilter("(\(hosts)) and (\(ports))")
        try withNetworkNamespace { space in
            let bench = try SelectionBench(space)
            // Addresses inside of nets inside of nets, with ends of their own.
            try bench.compare(
                "src net 10.0.0.0/8 or dst net 10.0.0.0/30 or src net 10.0.0.0/31 or dst host 10.0.0.1 or net 2001::/16"
                    + " or src host 2001:db8::1")
        }
    }
}

/// A program per expression, and frames to judge.
private final class SelectionBench {
    private let interface: XDPInterface
    private let queue: QueueBox
    private let frames: [(bytes: [UInt8], isCut: Bool)]

    /// A queue belongs to whoever took it.
    private final class QueueBox {
        let queue: XDPQueue
        init(_ queue: consuming XDPQueue) { self.queue = queue }
    }

    init(_ space: NetworkNamespace) throws {
        interface = try space.enter {
            try XDPInterface.open("right", rung: .generic) { _ in XDPSizes(memoryBytes: 2 << 20) }
        }
        queue = QueueBox(interface.take(0))
        var source = RandomSource(seed: 7)
        frames = (0..<500).map { _ in source.frame() }
    }

    /// Judges all frames; returns false if the expression is none for the kernel, or none at all.
    @discardableResult
    func compare(_ expression: String) throws -> Bool {
        guard let oracle = try? PacketFilter(expression, linkType: .ethernet) else { return false }
        let filter: SelectiveFilter
        do {
            filter = try SelectiveFilter(expression)
        } catch {
            #expect(error.reason.contains("clauses"), "\(expression): \(error)")
            return false
        }
        let program = try XDPProgram(interface: 1, queues: 1, fragments: true, filter: filter)
        try program.setSocket(queue.queue.descriptor, queue: 0)
        var wrong: [[UInt8]] = []
        for (frame, isCut) in frames {
            let isSelected = try program.judge(frame) == 4
            let isWanted = unsafe frame.withUnsafeBytes { bytes in
                unsafe oracle.matches(
                    bytes.baseAddress!, captured: UInt32(frame.count), original: UInt32(frame.count))
            }
            // Of a frame that ends too early libpcap may not ask what is missing; the program always does.
            if isSelected != isWanted, isSelected || !isCut { wrong.append(frame) }
        }
        #expect(wrong.isEmpty, "\(expression): \(wrong.count) frames, such as \(wrong.first ?? [])")
        return true
    }
}

/// Random frames and expressions about the same few addresses, ports and tags, so that they meet.
private struct RandomSource {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
    private mutating func next(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }

    private mutating func pick<Element>(_ elements: [Element]) -> Element { elements[next(elements.count)] }

    private mutating func address4() -> [UInt8] { [pick([10, 10, 10, 192]), 0, pick([0, 0, 1]), UInt8(next(5))] }
    private mutating func address6() -> [UInt8] { PacketBuilder.ipv6Address(UInt8(next(5))) }
    private mutating func port() -> UInt16 { pick([53, 80, 443, 0, 65535, UInt16(next(65536))]) }

    private mutating func transport(_ number: UInt8) -> [UInt8] {
        let ports = [port(), port()].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
        return ports + [UInt8](repeating: number, count: 16)
    }

    mutating func frame() -> (bytes: [UInt8], isCut: Bool) {
        let tags = (0..<pick([0, 0, 0, 1, 1, 2, 3])).map { _ in
            (
                type: pick([UInt16(0x8100), 0x8100, 0x88a8, 0x9100]),
                control: pick([UInt16(100), 200, 7, 0]) | pick([0, 0xe000])
            )
        }
        let number = pick([UInt8(6), 6, 17, 17, 132, 1, 58, 2, 0, 44])
        let payload = transport(number)
        var packet: [UInt8]
        let type: UInt16
        switch next(8) {
        case 0...2:
            type = 0x0800
            packet = PacketBuilder.ipv4(
                payload, protocolNumber: number, from: address4(), to: address4(),
                options: [UInt8](repeating: 1, count: pick([0, 0, 4, 40])), fragment: pick([0, 0, 0x2000, 0x2001, 5]))
            // A header length that cannot be; libpcap takes it as it is.
            if next(30) == 0 { packet[0] = 0x40 | UInt8(next(5)) }
        case 3...4:
            type = 0x86dd
            packet = PacketBuilder.ipv6(payload, nextHeader: number, from: address6(), to: address6())
        case 5:
            type = 0x86dd
            let behind = PacketBuilder.fragmentHeader(next: number, offset: 0, more: true, identification: 1)
            packet = PacketBuilder.ipv6(behind + payload, nextHeader: 44, from: address6(), to: address6())
        case 6:
            type = pick([0x0806, 0x0806, 0x8035])
            packet = [0, 1, 8, 0, 6, 4, 0, 1] + [2, 0, 0, 0, 0, 1] + address4() + [2, 0, 0, 0, 0, 2] + address4()
        default:
            type = pick([0x88b5, 0x0801, 0x8847])
            packet = payload
        }
        let bytes = PacketBuilder.ethernet(packet, type: type, tags: tags)
        guard next(6) == 0 else { return (bytes, false) }
        return (Array(bytes.prefix(14 + next(bytes.count - 14))), true)
    }

    private mutating func primitive() -> String {
        let end = pick(["", "", "src ", "dst ", "src or dst ", "src and dst "])
        switch next(7) {
        case 0: return pick(["ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6", "sctp"])
        case 1: return "\(end)host 10.0.0.\(next(5))"
        case 2: return "\(end)host 2001:db8::\(next(5))"
        case 3: return "\(end)net 10.0.\(next(2)).0/\(pick([24, 25, 30, 31]))"
        case 4: return "\(pick(["", "tcp ", "udp "]))\(end)port \(pick([53, 80, 443]))"
        case 5: return "\(end)portrange \(next(100))-\(100 + next(1000))"
        default: return "proto \(pick([6, 17, 1, 58]))"
        }
    }

    mutating func expression(depth: Int) -> String {
        guard depth > 0, next(3) > 0 else { return (next(4) == 0 ? "not " : "") + primitive() }
        let parts = (0..<2 + next(2)).map { _ in
            let part = expression(depth: depth - 1)
            return part.contains(" and ") || part.contains(" or ") ? "\(pick(["", "not "]))(\(part))" : part
        }
        return parts.dropFirst().reduce(parts[0]) { "\($0) \(pick(["and", "or"])) \($1)" }
    }
}
