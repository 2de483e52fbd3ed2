import Glibc
import TestSupport
import Testing

/// A TCP connection a test makes itself; what comes over it is kept.
final class Guest {
    private let descriptor: CInt
    private(set) var bytes: [UInt8] = []

    init(port: UInt16, receiveBuffer: CInt? = nil) throws {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        if var size = receiveBuffer { unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        var address = loopback(port)
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(descriptor, $0, 16) }
        }
        guard status == 0 else { throw Unexpected("cannot connect to port \(port): errno \(errno)") }
    }

    deinit { close(descriptor) }

    /// Reads until the peer closes, or until enough has come.
    func read(until isEnough: ([UInt8]) throws -> Bool = { _ in false }) throws {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while try !isEnough(bytes) {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&entry, 1, 30_000) > 0 else { throw Unexpected("a guest got nothing for 30 s") }
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return }
            bytes += chunk[..<count]
        }
    }
}

@Suite("Readers that connect to us")
struct ListenTests {
    /// Gives portions to a relay that reads standard input and serves guests.
    private final class Served {
        let relay: RunningRelay
        let port: UInt16
        private var given = 0

        init(_ more: [String] = []) throws {
            relay = try RunningRelay(["-r", "-", "--listen", "127.0.0.1:0"] + more)
            port = try relay.port()
            try relay.child.writeInput(captureFile([]))
        }

        /// The packets of the next portion.
        func give(_ count: Int) throws -> [Packet] {
            let packets = numberedPackets(given..<given + count)
            given += count
            try relay.child.writeInput(Array(captureFile(packets)[24...]))
            return packets
        }

        func guest(_ number: Int, receiveBuffer: CInt? = nil) throws -> Guest {
            let guest = try Guest(port: port, receiveBuffer: receiveBuffer)
            try relay.waitFor("reader 127.0.0.1", times: number)
            return guest
        }

        func finish() throws -> Report {
            relay.child.closeInput()
            let result = try relay.finish()
            result.expect(exits: 0)
            return try expectLedger(result, captured: given, encoded: given)
        }
    }

    private func packetCount(_ count: Int) -> ([UInt8]) throws -> Bool {
        { try Stream($0).packets.count >= count }
    }

    @Test("tshark -i TCP@ shows the packets")
    func tshark() throws {
        try requireTool("tshark")
        let served = try Served()
        let tshark = try ChildProcess(
            "tshark",
            ["-n", "-i", "TCP@127.0.0.1:\(served.port)", "-c", "300", "-T", "fields"]
                + ["-e", "frame.len", "-e", "udp.dstport", "-e", "udp.payload"])
        try served.relay.waitFor("reader 127.0.0.1")
        let packets = try served.give(300)
        let result = try tshark.wait()
        let expected = packets.map { packet in
            let payload = packet.bytes[42...].map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
            return "\(packet.original)\t4711\t\(payload)"
        }
        #expect(result.outputLines.sorted() == expected.sorted())
        _ = try served.finish()
    }

    @Test("With only --listen a file waits for the first reader, which gets everything; the second what comes later")
    func firstAndLate() throws {
        let served = try Served()
        // The pipe takes a part of it; nothing is read before somebody listens.
        var all = try served.give(200)
        let first = try served.guest(1)
        try first.read(until: packetCount(200))
        let late = try served.guest(2)
        let more = try served.give(300)
        all += more
        try first.read(until: packetCount(500))
        try late.read(until: packetCount(300))
        let report = try served.finish()
        try first.read()
        try late.read()
        expectSame(try Stream(first.bytes).packets, all, "first")
        expectSame(try Stream(late.bytes).packets, more, "late")
        #expect(try report.onlyDestination().count("delivered") == 800)
        #expect(try report.onlyDestination().losses.isEmpty)
    }

    @Test("A file larger than memory reaches the first reader whole, whatever its pace")
    func firstHoldsMemory() throws {
        try withTemporaryDirectory { folder in
            let packets = numberedPackets(0..<20_000)
            try writeFile("\(folder)/in", captureFile(packets))
            let running = try RunningRelay(
                (0..<6).flatMap { _ in ["-r", "\(folder)/in"] } + ["--listen", "127.0.0.1:0", "--memory", "24M"])
            let guest = try Guest(port: try running.port(), receiveBuffer: 16_384)
            usleep(300_000)
            try guest.read()
            let result = try running.finish()
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 120_000, encoded: 120_000)
            #expect(try report.onlyDestination().losses.isEmpty)
            expectSame(try Stream(guest.bytes).packets, (0..<6).flatMap { _ in packets })
        }
    }

    @Test("A reader that leaves harms nobody; what it did not get is dropped{left} or {behind}")
    func leaves() throws {
        let witness = try Reader()
        let served = try Served(["--to", "\(witness.address),name=witness"])
        try served.relay.waitFor("connected to")
        var leaving: Guest? = try served.guest(1, receiveBuffer: 4096)
        let staying = try served.guest(2)
        var all: [Packet] = []
        for _ in 0..<30 { all += try served.give(200) }
        try staying.read(until: packetCount(6000))
        leaving = nil
        _ = leaving
        all += try served.give(100)
        try staying.read(until: packetCount(6100))
        let report = try served.finish()
        try staying.read()
        expectSame(try Stream(staying.bytes).packets, all)
        try witness.waitForEnd()
        expectSame(try Stream(witness.streams[0]).packets, all)
        let listener = try #require(report.destinations.first { $0.name.hasPrefix("listen:") })
        #expect(Set(listener.losses.keys).isSubset(of: ["left", "behind"]) && !listener.losses.isEmpty)
        #expect(try report.destination("witness").losses.isEmpty)
    }

    @Test("A reader that stalls while memory is short loses exactly what is dropped{behind}, and holds up nobody")
    func behind() throws {
        let witness = try Reader()
        let served = try Served(["--to", "\(witness.address),name=witness", "--memory", "24M"])
        try served.relay.waitFor("connected to")
        let slow = try served.guest(1, receiveBuffer: 4096)
        var all: [Packet] = []
        for _ in 0..<10 { all += try served.give(10_000) }
        try waitUntil("the witness has everything") { witness.byteCount > 100_000 * 232 }
        // What the guest gets from here on is what memory still has.
        served.relay.child.closeInput()
        try slow.read()
        let report = try served.finish()
        try witness.waitForEnd()
        expectSame(try Stream(witness.streams[0]).packets, all)
        let packets = try Stream(slow.bytes).packets
        let listener = try #require(report.destinations.first { $0.name.hasPrefix("listen:") })
        #expect(listener.losses.keys.sorted() == ["behind"])
        #expect(try listener.count("delivered") == UInt64(packets.count))
        #expect(Set(packets).count == packets.count && Set(packets).isSubset(of: Set(all)))
        #expect(listener.dropped["behind"] == UInt64(100_000 - packets.count))
        #expect(Set(packets.map { number(of: $0) }).isSuperset(of: 99_000..<100_000), "memory holds the newest")
    }

    @Test("Readers beyond the places are turned away and counted; a place that becomes free is taken")
    func tooMany() throws {
        let served = try Served(["--to", "null"])
        var guests = try (1...8).map { try served.guest($0) }
        let refused = try (0..<3).map { _ in try Guest(port: served.port) }
        try served.relay.waitFor("turned away", times: 3)
        for guest in refused {
            try guest.read()
            #expect(guest.bytes.isEmpty)
        }
        guests.removeLast()
        // The relay notices by writing.
        var all: [Packet] = try served.give(10)
        for guest in guests { try guest.read(until: packetCount(10)) }
        let ninth = try waitForPlace(served, &all)
        let last = try served.give(50)
        all += last
        let report = try served.finish()
        for guest in guests {
            try guest.read()
            expectSame(try Stream(guest.bytes).packets, all)
        }
        try ninth.read()
        #expect(Set(try Stream(ninth.bytes).packets).isSuperset(of: last))
        let listener = try #require(report.destinations.first { $0.name.hasPrefix("listen:") })
        #expect(try listener.count("refused") >= 3)
        #expect(try report.destination("null").count("delivered") == UInt64(all.count))
    }

    /// Connects again and again until a connection is not closed at once.
    private func waitForPlace(_ served: Served, _ all: inout [Packet]) throws -> Guest {
        var found: Guest?
        try waitUntil("a free place") {
            let guest = try Guest(port: served.port)
            let portion = try served.give(5)
            all += portion
            try guest.read { bytes in try Stream(bytes).packets.count >= 5 }
            if !guest.bytes.isEmpty { found = guest }
            return found != nil
        }
        return try #require(found)
    }

    @Test("wire=pcap for readers, and two listeners at once")
    func wires() throws {
        let served = try Served(["--listen", "127.0.0.1:0,wire=pcap-ns"])
        try served.relay.waitFor("segments lie on")
        let ports = served.relay.child.errorText.split(separator: "\n").filter { $0.hasPrefix("readers may connect") }
            .compactMap { UInt16($0.drop { $0 != ":" }.dropFirst()) }
        #expect(ports.count == 2)
        let classic = try Guest(port: ports[1])
        try served.relay.waitFor("reader 127.0.0.1")
        let modern = try served.guest(2)
        let packets = try served.give(500)
        try modern.read(until: packetCount(500))
        _ = try served.finish()
        try classic.read()
        try modern.read()
        expectSame(try classicPackets(classic.bytes), packets, "pcap-ns")
        expectSame(try Stream(modern.bytes).packets, packets, "pcapng")
    }
}
