import Capture
import Glibc
import Machine
import Pcapng
import Synchronization
import TestSupport
import Testing

private typealias Build = PacketBuilder

private func endpoint(_ text: String) throws -> Endpoint { try #require(Endpoint(parsing: text)) }

/// The octets of an address, read back through the kernel's form.
private func octets(_ endpoint: Endpoint) -> [UInt8] {
    let words = (endpoint.addressHigh, endpoint.addressLow)
    let all = unsafe withUnsafeBytes(of: words) { unsafe Array($0) }
    return endpoint.isIPv4 ? Array(all[12...]) : all
}

/// An IP packet from one end to another.
private func packet(_ source: Endpoint, _ destination: Endpoint, protocolNumber: UInt8 = 6) -> [UInt8] {
    let inner =
        protocolNumber == 6
        ? Build.tcp(from: source.port, to: destination.port)
        : Build.udp([], from: source.port, to: destination.port)
    return source.isIPv4
        ? Build.ipv4(inner, protocolNumber: protocolNumber, from: octets(source), to: octets(destination))
        : Build.ipv6(inner, nextHeader: protocolNumber, from: octets(source), to: octets(destination))
}

/// An Ethernet frame with this IP packet in it.
private func frame(_ packet: [UInt8]) -> [UInt8] {
    Build.ethernet(packet, type: packet[0] >> 4 == 4 ? 0x0800 : 0x86dd, tags: [(0x8100, 7)])
}

/// Asks the table about a frame.
private func matches(_ table: OwnTraffic, frame: [UInt8]) -> Bool {
    unsafe frame.withUnsafeBytes {
        unsafe table.matches($0.baseAddress!, captured: $0.count, linkType: 1)
    }
}

/// Asks the table about an Ethernet frame with this IP packet in it.
private func matches(_ table: OwnTraffic, _ packet: [UInt8]) -> Bool {
    matches(table, frame: frame(packet))
}

@Suite("Own traffic")
struct OwnTrafficTests {
    @Test(
        "Exactly the packets of an entered connection match, in both directions",
        arguments: [
            ("10.0.0.1:40000", "10.0.0.2:57012", "10.0.0.3:57012"),
            ("[2001:db8::1]:40000", "[2001:db8::2]:57012", "[2001:db8::3]:57012"),
        ])
    func connection(_ local: String, _ remote: String, _ other: String) throws {
        let table = try OwnTraffic()
        let (local, remote, other) = (try endpoint(local), try endpoint(remote), try endpoint(other))
        #expect(!matches(table, packet(local, remote)))
        _ = try #require(table.enter(local: local, remote: remote))
        #expect(matches(table, packet(local, remote)))
        #expect(matches(table, packet(remote, local)))
        let foreign = [
            packet(local, other), packet(other, local), packet(other, remote), packet(remote, other),
            packet(local.with(port: 40001), remote), packet(local, remote.with(port: 57013)),
            packet(local.with(port: 57012), remote.with(port: 40000)),
            packet(local, remote, protocolNumber: 17),
        ]
        for one in foreign { #expect(!matches(table, one)) }
    }

    @Test("ICMP errors about a connection match, from whomever they come")
    func errors() throws {
        let table = try OwnTraffic()
        let (local4, remote4) = (try endpoint("10.0.0.1:40000"), try endpoint("10.0.0.2:57012"))
        let (local6, remote6) = (try endpoint("[2001:db8::1]:40000"), try endpoint("[2001:db8::2]:57012"))
        _ = try #require(table.enter(local: local4, remote: remote4))
        _ = try #require(table.enter(local: local6, remote: remote6))
        func error4(_ quoted: [UInt8], type: UInt8 = 3) -> [UInt8] {
            Build.ipv4(
                Build.icmp(type: type, Array(quoted.prefix(28))), protocolNumber: 1, from: [10, 9, 9, 9],
                to: [10, 0, 0, 1])
        }
        func error6(_ quoted: [UInt8], type: UInt8 = 1) -> [UInt8] {
            Build.ipv6(Build.icmp(type: type, quoted), nextHeader: 58)
        }
        for type: UInt8 in [3, 4, 5, 11, 12] {
            #expect(matches(table, error4(packet(local4, remote4), type: type)))
        }
        for type: UInt8 in [1, 2, 3, 4] {
            #expect(matches(table, error6(packet(local6, remote6), type: type)))
        }
        #expect(matches(table, error4(packet(remote4, local4))))
        #expect(!matches(table, error4(packet(local4, remote4), type: 8)))
        #expect(!matches(table, error6(packet(local6, remote6), type: 128)))
        #expect(!matches(table, error4(packet(local4.with(port: 1), remote4))))
        #expect(!matches(table, error4(packet(local4, remote4, protocolNumber: 17))))
        #expect(!matches(table, error6(packet(local6, remote6.with(port: 1)))))
    }

    @Test("A listener matches every connection to its own end and nothing else")
    func listener() throws {
        let table = try OwnTraffic()
        let (local, anyone) = (try endpoint("10.0.0.1:57012"), try endpoint("203.0.113.9:33333"))
        _ = try #require(table.enterListener(local: local))
        #expect(matches(table, packet(anyone, local)))
        #expect(matches(table, packet(local, anyone)))
        #expect(!matches(table, packet(anyone, local.with(port: 57013))))
        #expect(!matches(table, packet(anyone, try endpoint("10.0.0.2:57012"))))
        #expect(!matches(table, packet(try endpoint("10.0.0.2:57012"), anyone)))
    }

    @Test("A listener on any address means the addresses of this machine, not those of others")
    func anyListener() throws {
        let anyone = try endpoint("203.0.113.9:33333")
        let anyone6 = try endpoint("[2001:db8::9]:33333")
        for text in ["0.0.0.0:57012", "[::]:57012"] {
            let table = try OwnTraffic()
            _ = try #require(table.enterListener(local: try endpoint(text)))
            #expect(matches(table, packet(anyone, try endpoint("127.0.0.1:57012"))))
            #expect(matches(table, packet(try endpoint("127.3.2.1:57012"), anyone)))
            #expect(matches(table, packet(anyone6, try endpoint("[::1]:57012"))) == text.contains("["))
            #expect(!matches(table, packet(anyone, try endpoint("203.0.113.10:57012"))))
            #expect(!matches(table, packet(anyone6, try endpoint("[2001:db8::10]:57012"))))
            // An address this machine really has, as `ip` tells it.
            let lines = try run("ip", ["-o", "-4", "addr", "show"]).checked().outputLines
            for line in lines {
                let words = line.split(separator: " ")
                let position = try #require(words.firstIndex(of: "inet"))
                let address = words[position + 1].split(separator: "/")[0]
                #expect(matches(table, packet(anyone, try endpoint("\(address):57012"))))
            }
        }
    }

    @Test("A connection that was left still matches; the one left longest ago gives way first")
    func lingering() throws {
        let table = try OwnTraffic()
        let remote = try endpoint("10.0.0.2:57012")
        func local(_ number: Int) throws -> Endpoint { try endpoint("10.0.0.1:\(20000 + number)") }
        var tickets: [Int] = []
        for number in 0..<OwnTraffic.capacity {
            tickets.append(try #require(table.enter(local: try local(number), remote: remote)))
        }
        #expect(Set(tickets).count == OwnTraffic.capacity)
        #expect(table.enter(local: try local(900), remote: remote) == nil)
        #expect(!matches(table, packet(try local(900), remote)))
        for number in [7, 3, 200] {
            table.leave(tickets[number])
            #expect(matches(table, packet(try local(number), remote)))
        }
        for (new, gone) in [(901, 7), (902, 3), (903, 200)] {
            let ticket = try #require(table.enter(local: try local(new), remote: remote))
            #expect(matches(table, packet(try local(new), remote)))
            #expect(!matches(table, packet(try local(gone), remote)))
            // An old ticket for the same slot does nothing.
            table.leave(tickets[gone])
            #expect(ticket != tickets[gone])
        }
        #expect(table.enter(local: try local(904), remote: remote) == nil)
    }

    @Test("After the time of lingering an entry is free, and its port no longer suspect")
    func expiry() throws {
        let table = try OwnTraffic()
        let (first, second) = (try endpoint("10.0.0.1:20001"), try endpoint("10.0.0.1:20002"))
        let (remote, other) = (try endpoint("10.0.0.2:57012"), try endpoint("10.0.0.3:57012"))
        let ticket = try #require(table.enter(local: first, remote: remote))
        _ = try #require(table.enter(local: first, remote: other))
        let last = try #require(table.enter(local: second, remote: remote))
        table.leave(ticket)
        table.leave(last)
        table.expire()
        #expect(matches(table, packet(first, remote)) && matches(table, packet(second, remote)))
        table.expire(now: Clock.monotonic() + OwnTraffic.lingering + 1_000_000_000)
        #expect(!matches(table, packet(first, remote)) && !matches(table, packet(second, remote)))
        #expect(matches(table, packet(other, first)))
    }

    @Test("A slot that is being changed matches nothing, and nobody waits for it")
    func changing() throws {
        let table = try OwnTraffic()
        let (local, remote) = (try endpoint("10.0.0.1:20001"), try endpoint("10.0.0.2:57012"))
        let second = try endpoint("10.0.0.1:20002")
        let index = try #require(table.enter(local: local, remote: remote)) % OwnTraffic.capacity
        _ = try #require(table.enter(local: second, remote: remote))
        table.beginChange(at: index)
        #expect(!matches(table, packet(local, remote)) && matches(table, packet(second, remote)))
        table.endChange(at: index)
        #expect(matches(table, packet(local, remote)) && matches(table, packet(second, remote)))
    }

    @Test("While slots change hands no mixture of two connections ever matches")
    func noTornReads() throws {
        let table = try OwnTraffic()
        // Two connections that share the ports and differ in both addresses: half of one and half of the
        // other would be a third one, which is not ours. All slots but one are taken, so that the two replace
        // each other in it.
        let (localA, remoteA) = (try endpoint("[2001:db8:1::1]:20000"), try endpoint("[2001:db8:2::2]:57012"))
        let (localB, remoteB) = (try endpoint("[2001:db8:3::3]:20000"), try endpoint("[2001:db8:4::4]:57012"))
        for number in 1..<OwnTraffic.capacity {
            _ = try #require(table.enter(local: localA.with(port: UInt16(30000 + number)), remote: remoteA))
        }
        let mixtures = [packet(localA, remoteB), packet(localB, remoteA)].map(frame)
        let stop = StopFlag()
        let reader = Reader(table: table, mixtures: mixtures, own: frame(packet(localA, remoteA)), stop: stop)
        let thread = try PinnedThread(name: "reader", cpus: nil) { reader.run() }
        // Until the reader has seen the slot in use and not in use often enough to have met the changes
        // themselves. On a single processor that would take too long.
        let end = Clock.monotonic() + 5_000_000_000
        while reader.turns.load(ordering: .relaxed) < 3000, Clock.monotonic() < end {
            table.leave(try #require(table.enter(local: localA, remote: remoteA)))
            table.leave(try #require(table.enter(local: localB, remote: remoteB)))
        }
        stop.set()
        thread.join()
        #expect(reader.falseMatches.load(ordering: .relaxed) == 0)
        #expect(!matches(table, packet(localA, remoteA)) && matches(table, packet(localB, remoteB)))
    }
}

/// Asks about packets over and over while the table changes.
private final class Reader: Sendable {
    let table: OwnTraffic
    let mixtures: [[UInt8]]
    let own: [UInt8]
    let stop: StopFlag
    let falseMatches = Atomic<Int>(0)
    /// How often the own connection was found after it had not been.
    let turns = Atomic<Int>(0)

    init(table: OwnTraffic, mixtures: [[UInt8]], own: [UInt8], stop: StopFlag) {
        (self.table, self.mixtures, self.own, self.stop) = (table, mixtures, own, stop)
    }

    func run() {
        var found = false
        while !stop.isSet {
            for mixture in mixtures where matches(table, frame: mixture) {
                falseMatches.add(1, ordering: .relaxed)
            }
            let isOwn = matches(table, frame: own)
            if isOwn && !found { turns.add(1, ordering: .relaxed) }
            found = isOwn
        }
    }
}
