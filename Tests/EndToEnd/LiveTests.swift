import CTestSupport
import Glibc
import TestSupport
import Testing

@Suite("Live capture", .serialized)
struct LiveTests {
    @Test(
        "The captured set is the oracle's and tcpdump's, with names and statistics",
        arguments: zip([SIGTERM, SIGINT], Threading.allCases))
    func sameAsTcpdump(signal: CInt, threading: Threading) throws {
        for tool in ["tcpdump", "tshark", "capinfos"] { try requireTool(tool) }
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let command = space.inside(
                    "tcpdump",
                    ["-i", "right", "-n", "-B", "16384", "-c", "5000", "-Z", "root", "-w", "\(folder)/theirs"])
                let tcpdump = try ChildProcess(command.tool, command.arguments)
                try tcpdump.waitUntil { _, errors in errors.contains("listening on") }
                let reader = try space.reader()
                let running = try space.relay(
                    ["-i", "right", "--to", reader.address, "-w", "\(folder)/ours"] + threading.options(), captures: 2)
                let before = realtime()
                try space.send(0..<5000)
                let after = realtime()
                let result = try stop(running, by: signal)
                result.expect(exits: 0, naming: [signal == SIGINT ? "SIGINT" : "SIGTERM"])
                let report = try expectLedger(result, captured: 5000, encoded: 5000)
                for destination in report.destinations { #expect(try destination.count("delivered") == 5000) }
                try reader.waitForEnd()
                let stream = try Stream(reader.streams[0])
                expectFrames(stream.packets, 0..<5000)
                #expect(stream.packets.allSatisfy { $0.time >= before && $0.time <= after })
                #expect(stream.interfaces == ["right"])
                let file = try Stream(readFile("\(folder)/ours"))
                #expect(file.packets.map { number(of: $0) } == Array(0..<5000))
                expectSame(file.packets, stream.packets, "file and stream")
                _ = try tcpdump.wait()
                let theirs = try packetsByTcpdump("\(folder)/theirs")
                expectFrames(theirs, 0..<5000)
                try checkStatistics(stream, file, "\(folder)/ours")
            }
        }
    }

    /// The statistics at the end, by the test's own reading and by capinfos; the interface's name by tshark.
    private func checkStatistics(_ stream: Stream, _ file: Stream, _ path: String) throws {
        for last in [stream.statistics.last, file.statistics.last] {
            let last = try #require(last)
            // ifrecv, ifdrop, filteraccept, osdrop, usrdeliv
            #expect(last.interface == 0 && last.values == [4: 5000, 5: 0, 6: 5000, 7: 0, 8: 5000])
        }
        let names = try run("tshark", ["-n", "-r", path, "-T", "fields", "-e", "frame.interface_name"]).checked()
        #expect(names.outputLines == Array(repeating: "right", count: 5000))
        let information = try run("capinfos", [path]).checked().outputText
        #expect(information.contains("Name = right") && information.contains("Number of stat entries = 1"))
    }

    @Test(
        "A relay held up for a while: what the kernel dropped and what arrived add up to what was sent",
        arguments: Threading.allCases)
    func kernelDrops(threading: Threading) throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.relay(["-i", "right", "--to", reader.address] + threading.options())
            running.child.send(signal: SIGSTOP)
            try space.send(0..<30_000, size: 1400)
            running.child.send(signal: SIGCONT)
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 30_000)
            let dropped = try report.count("dropped", "kernel")
            #expect(dropped > 0)
            // With everything at once after the pause the fast ring may overflow as well.
            #expect(try report.count("received") == 30_000 - dropped - report.count("dropped", "ring"))
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let numbers = Set(stream.packets.map { number(of: $0) })
            let lost =
                report.reasons("dropped").values.reduce(0, +)
                + (try report.onlyDestination().losses.values.reduce(0, +))
            #expect(numbers.count == 30_000 - Int(lost))
            expectFrames(stream.packets, numbers, size: 1400)
            let statistics = try #require(stream.statistics.last)
            #expect(statistics.values[4] == 30_000 && statistics.values[5] == dropped)
        }
    }

    @Test("A worker held up for a while: the fast ring overflows, and what it lost is counted")
    func ringDrops() throws {
        for tool in ["chrt", "taskset"] { try requireTool(tool) }
        let options = try pipeline()
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.relay(["-i", "right", "--to", reader.address] + options)
            // On a busy CPU a thread of the idle class stands still, nearly.
            let busy = try ChildProcess("taskset", ["-c", options[3], "sh", "-c", "while :; do :; done"])
            let task = try #require(try thread("worker-0", of: running.child.identifier))
            try run("chrt", ["--idle", "-p", "0", "\(task)"]).checked()
            for portion in 0..<30 {
                try space.send(portion * 1000..<portion * 1000 + 1000, size: 1400)
                usleep(20_000)
            }
            busy.send(signal: SIGKILL, toGroup: true)
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 30_000)
            #expect(try report.count("dropped", "ring") > 0)
            try reader.waitForEnd()
            let packets = try Stream(reader.streams[0]).packets
            let numbers = Set(packets.map { number(of: $0) })
            expectFrames(packets, numbers, size: 1400)
            let lost =
                report.reasons("dropped").values.reduce(0, +)
                + (try report.onlyDestination().losses.values.reduce(0, +))
            #expect(numbers.count == 30_000 - Int(lost))
        }
    }

    /// The id of a process's thread by its name.
    private func thread(_ name: String, of process: Int32) throws -> String? {
        try directoryEntries("/proc/\(process)/task").first { task in
            try readFile("/proc/\(process)/task/\(task)/comm").starts(with: name.utf8)
        }
    }

    @Test("Spillway's own connection over the captured interface is never captured")
    func ownTraffic() throws {
        try withNetworkNamespace { space in
            try withNetworkNamespace { peer in
                try space.connect(to: peer)
                let reader = try peer.enter { try Reader(host: 2) }
                let running = try space.relay(["-i", "wire", "--to", reader.address])
                try running.waitFor("connected to")
                for portion in 0..<20 { try peer.send(portion * 100..<portion * 100 + 100, from: "wire") }
                try waitUntil("the frames come out") {
                    try reader.streams.first.map { try Stream($0).packets.count { $0.bytes.count == 200 } } == 2000
                }
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                #expect(try report.count("filtered", "own") > 0)
                try reader.waitForEnd()
                let packets = try Stream(reader.streams[0]).packets
                expectFrames(packets.filter { $0.bytes.count == 200 }, 0..<2000)
                // All else is ARP, which is everybody's.
                let others = packets.filter { $0.bytes.count != 200 }
                #expect(others.allSatisfy { $0.bytes[12] == 8 && $0.bytes[13] == 6 })
                #expect(try report.count("captured") == report.count("filtered", "own") + UInt64(packets.count))
            }
        }
    }

    @Test("Raw IP: the first packet's version is the link type, the other version is dropped{link_type}")
    func rawInterface() throws {
        try withNetworkNamespace { space in
            let tunnel = try space.enter { unsafe spillway_test_open_tun("raw") }
            try require(tunnel >= 0, orSkip: "/dev/net/tun cannot be opened: errno \(-tunnel)")
            defer { close(tunnel) }
            try space.ip("link", "set", "raw", "up")
            let reader = try space.reader()
            let running = try space.relay(["-i", "raw", "--to", reader.address])
            // What is written to a TUN device is what its interface receives.
            func send(_ packet: [UInt8]) throws {
                let count = unsafe packet.withUnsafeBytes { unsafe write(tunnel, $0.baseAddress!, $0.count) }
                #expect(count == packet.count)
            }
            let datagram = PacketBuilder.udp([1, 2, 3, 4], from: 4000, to: 4711)
            let version4 = PacketBuilder.ipv4(datagram, protocolNumber: 17)
            let version6 = PacketBuilder.ipv6(datagram, nextHeader: 17)
            // What comes before the interface has its number is lost as well, and counted.
            try waitUntil("the first packet comes out") {
                try send(version4)
                usleep(5000)
                return try reader.streams.first.map { try Stream($0).packets.isEmpty } == false
            }
            for _ in 0..<50 {
                try send(version4)
                try send(version6)
            }
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            #expect(stream.linkTypes == [228])
            #expect(stream.packets.count > 50 && stream.packets.allSatisfy { $0.bytes == version4 })
            let lost = try report.count("dropped", "link_type")
            #expect(lost >= 50)
            #expect(try report.count("captured") == UInt64(stream.packets.count) + lost)
        }
    }

    @Test("Two interfaces at once, each packet with its interface; -f, -s and -c")
    func twoInterfaces() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.relay(
                ["-i", "left", "-i", "right", "-f", "udp port 4711", "-s", "100", "--memory", "96M"]
                    + ["--to", reader.address], captures: 2)
            try space.send(0..<1000)
            let other = try space.enter { try FrameSender("left") }
            for number in 0..<100 { try other.send(numberedFrame(number, port: 53)) }
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 2000, encoded: 2000)
            #expect(try report.count("cut") == 2000)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            #expect(stream.interfaces.sorted() == ["left", "right"])
            for name in ["left", "right"] {
                let here = zip(stream.packetInterfaces, stream.packets).filter {
                    stream.interfaces[Int($0.0)] == name
                }
                let found = here.map { Packet(time: 0, original: $0.1.original, bytes: $0.1.bytes) }
                let expected = (0..<1000).map { Packet(time: 0, original: 200, bytes: liveFrame($0)).cut(to: 100) }
                expectSame(found, expected, name)
            }
        }
    }

    @Test("-c ends a live run by itself; --duration too")
    func ends() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let counted = try space.relay(["-i", "right", "-c", "50", "--to", reader.address])
            try space.send(0..<500)
            let result = try counted.finish()
            result.expect(exits: 0)
            try expectLedger(result, encoded: 50)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<50)
            let timed = try space.relay(["-i", "right", "--duration", "700ms", "--to", "null"])
            try space.send(0..<20)
            let end = try timed.finish()
            end.expect(exits: 0)
            try expectLedger(end, captured: 20, encoded: 20)
        }
    }

    @Test("66: the interface is removed; everything before is delivered")
    func removed() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.relay(["-i", "right", "--to", reader.address])
            try space.send(0..<300)
            try waitUntil("the frames come out") {
                try reader.streams.first.map { try Stream($0).packets.count } == 300
            }
            try space.ip("link", "del", "left")
            let result = try running.finish()
            result.expect(exits: 66, naming: ["right", "removed"])
            try expectLedger(result, captured: 300, encoded: 300)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<300)
        }
    }

    @Test("66: no such interface. 77: without the capability, which is named")
    func cannotStart() throws {
        let result = try relay(["-i", "nowhere0", "--to", "null"])
        result.expect(exits: 66, naming: ["nowhere0"])
        try requireRoot()
        try requireTool("setpriv")
        let denied = try relay(["-i", "lo", "--to", "null"], unprivileged: true)
        denied.expect(exits: 77, naming: ["CAP_NET_RAW"])
    }

    @Test("A second signal ends at once; what was not delivered is counted", arguments: [SIGTERM, SIGINT])
    func secondSignal(signal: CInt) throws {
        try withNetworkNamespace { space in
            let reader = try space.reader(.stalled, receiveBuffer: 4096)
            let running = try space.relay(["-i", "right", "--drain-timeout", "10m", "--to", reader.address])
            try space.send(0..<5000)
            running.child.send(signal: signal)
            try running.waitFor("a second signal ends at once")
            running.child.send(signal: SIGTERM)
            let result = try running.finish(timeLimit: .seconds(20))
            result.expect(exits: 0, naming: ["second signal"])
            let destination = try expectLedger(result, captured: 5000, encoded: 5000).onlyDestination()
            #expect(destination.losses.keys.sorted() == ["drain"])
            reader.lookAtUnread()
            let stream = try Stream(reader.streams[0])
            #expect(try destination.count("delivered") <= UInt64(stream.packets.count))
            #expect(Set(stream.packets.map { number(of: $0) }).isSubset(of: Set(0..<5000)))
        }
    }

    @Test(
        "Our own packets on the loopback, at any interface, of guests, scrapes and failed attempts",
        arguments: ["lo", "any"])
    func ownEverywhere(interface: String) throws {
        for tool in ["curl", "ping"] { try requireTool(tool) }
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let reader = try space.reader()
                let running = try space.relay(
                    ["-i", interface, "-w", "\(folder)/out", "--to", reader.address, "--to", "127.0.0.1:9"]
                        + ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--drain-timeout", "300ms"])
                let (listening, metrics) = (try running.port(), try running.port(after: "metrics at http://"))
                try running.waitFor("refused")
                for _ in 0..<5 {
                    var guest: Guest? = try space.enter { try Guest(port: listening) }
                    let scrape = space.inside("curl", ["-sS", "http://127.0.0.1:\(metrics)/metrics"])
                    try run(scrape.tool, scrape.arguments).checked()
                    let ping = space.inside("ping", ["-c", "1", "127.0.0.1"])
                    try run(ping.tool, ping.arguments).checked()
                    try guest?.read { !$0.isEmpty }
                    guest = nil
                }
                let report = try expectLedger(try stop(running))
                #expect(try report.count("filtered", "own") > 50)
                // The protocol stands at 9 of the IP header, behind 14 bytes of Ethernet or 20 of Linux cooked, version 2.
                let packets = try Stream(readFile("\(folder)/out")).packets.map { $0.bytes }
                let start = interface == "lo" ? 14 : 20
                let version4 = packets.filter { $0[start] >> 4 == 4 }
                #expect(version4.allSatisfy { $0[start + 9] == 1 } && version4.count == 10)
            }
        }
    }

    @Test("--drain-timeout bounds the end of a live run; the rest is dropped{drain}")
    func drain() throws {
        try withNetworkNamespace { space in
            let running = try space.relay(
                ["-i", "right", "--drain-timeout", "300ms", "--to", "127.0.0.1:9,name=nobody"])
            try space.send(0..<1000)
            let result = try stop(running)
            let nobody = try expectLedger(result, captured: 1000, encoded: 1000).destination("nobody")
            #expect(nobody.losses == ["drain": 1000] && !nobody.isUp)
        }
    }
}
