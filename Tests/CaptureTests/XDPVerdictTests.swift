import Capture
import Machine
import TestSupport
import Testing

private typealias Build = PacketBuilder

/// What the program leaves to the kernel, and what it captures, frame by frame.
@Suite("Verdicts of the XDP program", .serialized)
struct XDPVerdictTests {
    private static let us: [UInt8] = [2, 0, 0, 0, 0, 2]
    private static let local: [UInt8] = [10, 9, 0, 1], remote: [UInt8] = [10, 9, 0, 2],
        stranger: [UInt8] = [10, 9, 0, 77]
    private static let local6 = Build.ipv6Address(1), remote6 = Build.ipv6Address(2), stranger6 = Build.ipv6Address(77)

    private static func ipv4(
        _ source: [UInt8], _ from: UInt16, _ destination: [UInt8], _ to: UInt16, options: [UInt8] = [],
        fragment: UInt16 = 0
    ) -> [UInt8] {
        Build.ipv4(
            Build.tcp(from: from, to: to), protocolNumber: 6, from: source, to: destination, options: options,
            fragment: fragment)
    }

    private static func ipv6(_ source: [UInt8], _ from: UInt16, _ destination: [UInt8], _ to: UInt16) -> [UInt8] {
        Build.ipv6(Build.tcp(from: from, to: to), nextHeader: 6, from: source, to: destination)
    }

    private static func frame(
        _ packet: [UInt8], to station: [UInt8] = us, tags: [(type: UInt16, control: UInt16)] = []
    ) -> [UInt8] {
        Build.ethernet(packet, type: packet[0] >> 4 == 4 ? 0x0800 : 0x86dd, tags: tags, to: station)
    }

    private static func error4(_ quoted: [UInt8], type: UInt8 = 3) -> [UInt8] {
        frame(Build.ipv4(Build.icmp(type: type, quoted), protocolNumber: 1, from: stranger, to: local))
    }

    private static func error6(_ quoted: [UInt8], type: UInt8 = 2) -> [UInt8] {
        frame(Build.ipv6(Build.icmp(type: type, quoted), nextHeader: 58, from: stranger6, to: local6))
    }

    private static func arp(operation: UInt8, target: [UInt8], to station: [UInt8]) -> [UInt8] {
        let sender: [UInt8] = [2, 0, 0, 0, 0, 1] + remote
        return Build.ethernet(
            [0, 1, 8, 0, 6, 4, 0, operation] + sender + [0, 0, 0, 0, 0, 0] + target, type: 0x0806, to: station)
    }

    private static func discovery(
        type: UInt8, target: [UInt8], destination: [UInt8], to station: [UInt8]
    ) -> [UInt8] {
        frame(
            Build.ipv6(Build.icmp(type: type, target), nextHeader: 58, from: remote6, to: destination), to: station)
    }

    private static let broadcast = [UInt8](repeating: 0xff, count: 6)
    private static let solicited: [UInt8] = [0x33, 0x33, 0xff, 0, 0, 1]

    /// Ours: the kernel is to have them.
    private static var ours: [[UInt8]] {
        let all6: [UInt8] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1]
        return [
            frame(ipv4(remote, 57012, local, 40000)),
            frame(ipv4(remote, 57012, local, 40000), tags: [(0x8100, 7)]),
            frame(ipv4(remote, 57012, local, 40000), tags: [(0x88a8, 7), (0x8100, 9)]),
            frame(ipv4(remote, 57012, local, 40000, options: [1, 1, 1, 1])),
            frame(ipv6(remote6, 57012, local6, 40001)),
            frame(ipv4(stranger, 1234, local, 9100)),
            frame(ipv4(stranger, 1234, local, 9200)), frame(ipv6(stranger6, 1234, local6, 9200)),
            frame(ipv4(stranger, 1234, local, 9300)),
            error4(ipv4(local, 40000, remote, 57012)), error4(ipv4(local, 40000, remote, 57012), type: 11),
            error4(ipv4(local, 9100, stranger, 1234)),
            error6(ipv6(local6, 40001, remote6, 57012)),
            arp(operation: 1, target: local, to: broadcast), arp(operation: 2, target: local, to: us),
            discovery(type: 135, target: local6, destination: all6, to: solicited),
            discovery(type: 136, target: remote6, destination: local6, to: us),
        ]
    }

    /// Everybody's: captured.
    private static var others: [[UInt8]] {
        let elsewhere: [UInt8] = [2, 0, 0, 0, 0, 9]
        let udp = Build.ipv4(Build.udp([], from: 57012, to: 40000), protocolNumber: 17, from: remote, to: local)
        var short = ipv4(remote, 57012, local, 40000)
        short[0] = 0x44
        return [
            // A copy on a mirror port, whatever it says inside.
            frame(ipv4(remote, 57012, local, 40000), to: elsewhere),
            frame(ipv6(remote6, 57012, local6, 40001), to: elsewhere),
            arp(operation: 2, target: local, to: elsewhere),
            frame(ipv4(remote, 57012, local, 40000), to: broadcast),
            // One of the four parts differs, or the direction.
            frame(ipv4(local, 40000, remote, 57012)), frame(ipv4(stranger, 57012, local, 40000)),
            frame(ipv4(remote, 57013, local, 40000)), frame(ipv4(remote, 57012, local, 40001)),
            frame(ipv4(remote, 57012, stranger, 40000)), frame(ipv6(remote6, 57012, local6, 40000)),
            // A listener on any address means ours, and one of IPv4 no other family.
            frame(ipv4(remote, 1, stranger, 9200)), frame(ipv6(remote6, 1, stranger6, 9200)),
            frame(ipv6(remote6, 1, local6, 9300)), frame(ipv4(remote, 1, stranger, 9100)),
            frame(udp), frame(ipv4(remote, 57012, local, 40000, fragment: 5)), frame(short),
            frame(Array(ipv4(remote, 57012, local, 40000).prefix(22))),
            frame(Array(ipv4(remote, 57012, local, 40000).prefix(12))),
            Build.ethernet([], type: 0x0800, to: us), Build.ethernet([0, 1], type: 0x8100, to: us),
            frame(ipv4(remote, 57012, local, 40000), tags: [(0x88a8, 7), (0x8100, 9), (0x8100, 10)]),
            // Errors about somebody else's packets, and what is no error.
            error4(ipv4(remote, 57012, local, 40000)), error4(ipv4(stranger, 40000, remote, 57012)),
            error4(ipv4(local, 40000, remote, 57012), type: 8),
            error4(Array(ipv4(local, 40000, remote, 57012).prefix(20))),
            error6(ipv6(local6, 40001, remote6, 57012), type: 128), error6(ipv6(remote6, 57012, local6, 40001)),
            // Neighbours' questions that are not for us.
            arp(operation: 1, target: stranger, to: broadcast), arp(operation: 2, target: stranger, to: us),
            discovery(type: 135, target: stranger6, destination: local6, to: us),
            discovery(type: 136, target: local6, destination: stranger6, to: us),
            discovery(type: 134, target: local6, destination: local6, to: us),
        ]
    }

    private static func end(_ text: String) throws -> Endpoint { try #require(Endpoint(parsing: text)) }

    private func prepare(_ space: NetworkNamespace) throws {
        try space.ip("link", "set", "right", "address", "02:00:00:00:00:02")
        let command = space.inside("sh", ["-c", "echo 0 > /proc/sys/net/ipv6/conf/right/disable_ipv6"])
        try run(command.tool, command.arguments).checked()
        try space.ip("address", "add", "10.9.0.1/24", "dev", "right")
        try space.ip("address", "add", "2001:db8::1/64", "dev", "right", "nodad")
    }

    @Test("What is ours passes to the kernel, everything else is captured; what is left is captured again")
    func verdicts() throws {
        try withNetworkNamespace { space in
            try prepare(space)
            let own = try OwnTraffic()
            // One entered before the program knows the table, the others after.
            let ticket = try #require(own.enter(local: Self.end("10.9.0.1:40000"), remote: Self.end("10.9.0.2:57012")))
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: 2 << 20), own: own)
            try space.enter {
                _ = try #require(
                    own.enter(local: Self.end("[2001:db8::1]:40001"), remote: Self.end("[2001:db8::2]:57012")))
                for listener in ["10.9.0.1:9100", "[::]:9200", "0.0.0.0:9300"] {
                    _ = try #require(own.enterListener(local: Self.end(listener)))
                }
            }
            for (place, frame) in Self.ours.enumerated() {
                try bench.send([frame])
                #expect(bench.passed == UInt64(place + 1), "frame \(place) of ours")
                #expect(bench.read().isEmpty, "frame \(place) of ours")
            }
            for (place, frame) in Self.others.enumerated() {
                try bench.send([frame])
                #expect(bench.read() == [frame], "frame \(place) of others")
            }
            #expect(bench.passed == UInt64(Self.ours.count))

            own.leave(ticket)
            try bench.send([Self.ours[0]])
            #expect(bench.read().isEmpty, "the kernel goes on for a while after a connection was closed")
            own.expire(now: Clock.monotonic() + OwnTraffic.lingering)
            try bench.send([Self.ours[0]])
            #expect(bench.read() == [Self.ours[0]])
            try bench.stop()
        }
    }

    @Test("An address that comes later counts once the table has read the machine's addresses again")
    func addresses() throws {
        try withNetworkNamespace { space in
            let own = try OwnTraffic()
            try space.ip("link", "set", "right", "address", "02:00:00:00:00:02")
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: 2 << 20), own: own)
            let question = Self.arp(operation: 1, target: Self.local, to: Self.broadcast)
            try bench.send([question])
            #expect(bench.read() == [question])
            try space.ip("address", "add", "10.9.0.1/24", "dev", "right")
            try space.enter { own.refreshAddresses() }
            try bench.send([question])
            #expect(bench.read().isEmpty)
            try space.ip("address", "del", "10.9.0.1/24", "dev", "right")
            try space.enter { own.refreshAddresses() }
            try bench.send([question])
            #expect(bench.read() == [question])
            try bench.stop()
        }
    }
}
