import Glibc
import TestSupport
import Testing

/// A UDP socket of the kernel, which puts fragments together by itself.
private final class KernelReceiver {
    private let descriptor: CInt

    /// Binds in the network namespace of the calling thread.
    init(isIPv6: Bool, port: UInt16) throws {
        descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        var size: CInt = 8 << 20
        // SO_RCVBUFFORCE: everything must find room.
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, 33, &size, socklen_t(MemoryLayout<CInt>.size))
        let status: CInt
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            status = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            status = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        guard descriptor >= 0, status == 0 else { throw Unexpected("cannot bind a UDP socket") }
    }

    deinit { close(descriptor) }

    /// The payloads of all datagrams that have come.
    func datagrams() -> [[UInt8]] {
        var found: [[UInt8]] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 { return found }
            found.append(Array(buffer[..<count]))
        }
    }
}

@Suite("Fragments on a wire", .serialized)
struct FragmentLiveTests {
    /// The checksum of UDP over its pseudo header, which IPv6 wants.
    private static func checksum(_ datagram: [UInt8], from source: [UInt8], to destination: [UInt8]) -> [UInt8] {
        var datagram = datagram
        let length = UInt16(datagram.count)
        let pseudo = source + destination + [0, 0, UInt8(length >> 8), UInt8(length & 255), 0, 0, 0, 17]
        var words = pseudo + datagram
        if words.count % 2 == 1 { words.append(0) }
        var sum = stride(from: 0, to: words.count, by: 2).reduce(0) { $0 + Int(words[$1]) << 8 + Int(words[$1 + 1]) }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        let result = UInt16(~sum & 0xFFFF)
        (datagram[6], datagram[7]) = result == 0 ? (255, 255) : (UInt8(result >> 8), UInt8(result & 255))
        return datagram
    }

    @Test("The kernel and the relay put the same datagrams together", arguments: [4, 6])
    func kernel(_ version: Int) throws {
        try withNetworkNamespace { space in
            try space.ip("link", "set", "right", "address", "02:00:00:00:00:02")
            if version == 4 {
                try space.ip("addr", "add", "198.51.100.2/24", "dev", "right")
                try space.ip("route", "add", "192.0.2.0/24", "dev", "right")
            } else {
                let enable = space.inside("sh", ["-c", "echo 0 > /proc/sys/net/ipv6/conf/right/disable_ipv6"])
                try run(enable.tool, enable.arguments).checked()
                try space.ip("addr", "add", "2001:db8::2/64", "dev", "right", "nodad")
            }
            let receiver = try space.enter { try KernelReceiver(isIPv6: version == 6, port: 4711) }
            let reader = try space.reader()
            let running = try space.relay(["-i", "right", "--to", reader.address])
            let sender = try space.enter { try FrameSender("left") }
            var random = SystemRandomNumberGenerator()
            var broken = 0
            var frames: [[UInt8]] = []
            for number in 0..<400 {
                let payload = sampleBytes(
                    20 + Int.random(in: 0..<(number % 20 == 0 ? 40000 : 4000), using: &random), seed: number)
                var datagram = PacketBuilder.udp(payload, from: 4000, to: 4711)
                if version == 6 {
                    datagram = Self.checksum(
                        datagram, from: PacketBuilder.ipv6Address(1), to: PacketBuilder.ipv6Address(2))
                }
                var sample = DatagramSample(datagram, version: version)
                sample.identification = UInt32(number + 1)
                var fragments = sample.fragments(
                    of: 8 * Int.random(in: (number % 20 == 0 ? 100 : 2)...180, using: &random))
                if fragments.count == 1 || fragments.count > 60 { continue }
                if number % 3 == 0 { fragments.shuffle(using: &random) }
                switch number % 8 {
                case 0:
                    fragments.removeLast()
                    broken += 1
                case 1: fragments.insert(fragments[0], at: 1)
                case 2 where datagram.count > 48:
                    // Over the end of what came first, with other bytes, before all of it is there.
                    let bytes = [UInt8](repeating: 0xEE, count: 32)
                    fragments = sample.fragments(at: [16, datagram.count - 8])
                    fragments.insert(sample.fragment(8, 0, more: true, bytes: bytes), at: 1)
                    guard fragments.allSatisfy({ $0.count < 1500 }) else { continue }
                    broken += 1
                default: break
                }
                frames += fragments
            }
            for frame in frames { try sender.send(frame) }
            // A whole packet at the end tells that everything before it has come.
            var last = DatagramSample(PacketBuilder.udp([1, 2, 3], from: 4000, to: 4712))
            last.identification = 9999
            try sender.send(last.whole)
            try waitUntil("the last packet arrives") {
                try reader.streams.first.map { try Stream($0).packets.contains { $0.bytes == last.whole } } ?? false
            }
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let header = 14 + (version == 4 ? 20 : 40) + 8
            let ours = zip(stream.packets, stream.fragments).filter { $0.1 > 1 }.map {
                Array($0.0.bytes.dropFirst(header))
            }
            let theirs = receiver.datagrams()
            #expect(theirs.count > 100 && broken > 30)
            #expect(Set(ours) == Set(theirs) && ours.count == theirs.count)
            #expect(try report.count("unassembled", "overlap") > 0)
        }
    }

    @Test(
        "Fragments that come by different receive queues meet at the worker that owns their datagram",
        arguments: [
            [], ["--capture-cpus", "0", "--worker-cpus", "1"],
        ])
    func queues(_ placement: [String]) throws {
        try withNetworkNamespace { space in
            try space.makePair(queues: 2)
            let reader = try space.reader()
            let running = try space.xdpRelay(
                ["-i", "right", "--to", reader.address, "--memory", "128M"] + placement, queues: 2)
            let sender = try space.enter { try FrameSender("left") }
            var expected: [[UInt8]] = []
            var count = 0
            for round in 0..<20 {
                // In turns, so that neither worker is far behind the other: what comes is all of it put together.
                var halves: [[[UInt8]]] = [[], []]
                for number in round * 25..<round * 25 + 25 {
                    var sample = DatagramSample(size: 3000, version: number % 2 == 0 ? 4 : 6)
                    sample.identification = UInt32(number + 1)
                    sample.source = UInt8(number % 250 + 1)
                    expected += [sample.whole, numberedFrame(number)]
                    for (place, fragment) in sample.fragments(of: 1400).enumerated() {
                        halves[place % 2].append(fragment)
                    }
                    halves[1].append(numberedFrame(number))
                }
                for frame in halves[0] + halves[1] { try sender.send(frame) }
                count += halves[0].count + halves[1].count
                try reader.waitFor(packets: expected.count)
            }
            let result = try stop(running)
            result.expect(exits: 0, naming: ["queues 0-1"])
            let report = try expectLedger(result, captured: count, encoded: expected.count)
            #expect(try report.count("reassembled") == 500 && report.count("unassembled", "busy") == 0)
            #expect(try report.count("handed_on") > 0)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            func plain(_ frames: [[UInt8]]) -> [Packet] {
                frames.map { Packet(time: 0, original: UInt32($0.count), bytes: $0) }
            }
            expectSame(plain(stream.packets.map(\.bytes)), plain(expected), "both queues")
        }
    }

    @Test("When the owner of a datagram cannot take its fragments fast enough, they go on as they came, all of them")
    func busy() throws {
        try withNetworkNamespace { space in
            try space.makePair(queues: 2)
            let reader = try space.reader()
            // Both workers share a CPU, so that each finds the other one asleep; the ring between them holds some 170 frames.
            let running = try space.xdpRelay(
                ["-i", "right", "--to", reader.address, "--memory", "256M", "--fragment-memory", "512K"]
                    + ["--capture-cpus", "0", "--worker-cpus", "0"], queues: 2)
            let sender = try space.enter { try FrameSender("left") }
            var datagrams: [(whole: [UInt8], fragments: [[UInt8]])] = []
            running.child.send(signal: SIGSTOP)
            for number in 0..<1500 {
                var sample = DatagramSample(size: 2800)
                sample.identification = UInt32(number + 1)
                sample.source = UInt8(number % 250 + 1)
                datagrams.append((sample.whole, sample.fragments(of: 1400)))
                for fragment in datagrams[number].fragments { try sender.send(fragment) }
            }
            running.child.send(signal: SIGCONT)
            let count = datagrams.reduce(0) { $0 + $1.fragments.count }
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: count)
            #expect(try report.count("unassembled", "busy") > 0)
            #expect(report.destinations.allSatisfy { $0.losses.isEmpty })
            try reader.waitForEnd()
            var arrived: [[UInt8]: Int] = [:]
            for packet in try Stream(reader.streams[0]).packets { arrived[packet.bytes, default: 0] += 1 }
            // Each datagram is there as one packet or as its fragments, once.
            for (whole, fragments) in datagrams {
                let found = fragments.map { arrived.removeValue(forKey: $0) ?? 0 }
                let isWhole = arrived.removeValue(forKey: whole) ?? 0
                #expect(found.allSatisfy { $0 == 1 - isWhole } && (0...1).contains(isWhole))
            }
            #expect(arrived.isEmpty)
        }
    }

    @Test("A flood of fragments that never become whole costs whole packets nothing")
    func flood() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let seconds = Int(environmentValue("SPILLWAY_SOAK_SECONDS") ?? "") ?? 2
                let running = try space.xdpRelay(["-i", "right", "--memory", "128M", "-w", "\(folder)/out"])
                let command = space.inside(
                    try builtExecutable("spillway"),
                    [
                        "generate", "-i", "left", "--rate", "20Kpps", "--duration", "\(seconds)s", "--fragments",
                        "incomplete",
                        "--size", "1400", "--fragment-size", "512", "--flows", "100000", "--report",
                        "\(folder)/flood.json",
                    ])
                let flood = try ChildProcess(command.tool, command.arguments, environment: withoutOwnVariables())
                // A quarter of its rate, in steps of a millisecond.
                let sender = try space.enter { try FrameSender("left") }
                var sent = 0
                while flood.isRunning() {
                    for _ in 0..<5 {
                        try sender.send(liveFrame(sent))
                        sent += 1
                    }
                    usleep(1000)
                }
                try flood.wait().checked()
                let flooded = try Int(#require(try Report(readFile("\(folder)/flood.json"))["sent"]?.count))
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                let stream = try Stream(readFile("\(folder)/out"))
                let numbers = stream.packets.filter { $0.bytes.count == 200 }.map { number(of: $0) }
                #expect(Set(numbers) == Set(0..<sent) && numbers.count == sent)
                // The flood itself is all there, too, as it came.
                #expect(try report.count("reassembled") == 0)
                #expect(stream.packets.count == sent + flooded && flooded > 0)
            }
        }
    }
}
