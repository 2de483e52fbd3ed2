import Glibc
import TestSupport
import Testing

@Suite("Choice of the capture rung", .serialized)
struct XDPChoiceTests {
    @Test("71: a rung that is not there is refused with the reason and what would help")
    func refused() throws {
        try withNetworkNamespace { space in
            let result = try RunningRelay(
                ["-i", "right", "--capture", "xdp-zerocopy", "--to", "null"], namespace: space
            ).finish()
            result.expect(exits: 71, naming: ["right", "xdp-zerocopy", "zero-copy", "--capture xdp-native"])
            #expect(try space.xdpProgram("right") == nil)
        }
    }

    @Test("77: without capabilities; the missing one is named")
    func notPermitted() throws {
        try requireTool("setpriv")
        try withNetworkNamespace { space in
            for (rung, word) in [("xdp-native", "CAP_BPF"), ("auto", "CAP_NET_RAW")] {
                let result = try space.enter {
                    try RunningRelay(["-i", "right", "--capture", rung, "--to", "null"], unprivileged: true).finish()
                }
                result.expect(exits: 77, naming: ["right", word])
            }
        }
    }

    @Test("64: a queue that is not there. 71: the interface is down, or another run has it")
    func notThere() throws {
        try withNetworkNamespace { space in
            func fails(_ arguments: [String], _ code: Int32, _ words: [String]) throws {
                try RunningRelay(arguments + ["--to", "null"], namespace: space).finish()
                    .expect(exits: code, naming: words)
            }
            try fails(["-i", "right@1"], 64, ["right@1", "receive queue"])
            let running = try space.xdpRelay(["-i", "right", "--to", "null"])
            try fails(["-i", "right"], 71, ["right", "another spillway"])
            try stop(running).expect(exits: 0)
            try space.ip("link", "set", "right", "down")
            try fails(["-i", "right", "--capture", "xdp-native"], 71, ["right", "down"])
        }
    }

    @Test("Another XDP program is named and stays; auto then captures with a packet socket")
    func foreignProgram() throws {
        try requireTool("clang")
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let source = """
                    __attribute__((section("xdp"), used)) int other(void *context) { return 2; }
                    __attribute__((section("license"), used)) char terms[] = "GPL";
                    """
                try writeFile("\(folder)/other.c", Array(source.utf8))
                try run("clang", ["-target", "bpf", "-O2", "-c", "\(folder)/other.c", "-o", "\(folder)/other.o"])
                    .checked()
                try space.ip("link", "set", "right", "xdp", "obj", "\(folder)/other.o", "sec", "xdp")
                let before = try #require(try space.xdpProgram("right"))
                let refused = try RunningRelay(
                    ["-i", "right", "--capture", "xdp-native", "--to", "null"], namespace: space
                ).finish()
                refused.expect(exits: 71, naming: ["other", "id \(before.program)"])
                let running = try RunningRelay(["-i", "right", "--to", "null"], namespace: space)
                try space.waitForCaptures()
                try space.send(0..<100)
                let result = try stop(running)
                result.expect(exits: 0, naming: ["af-packet", "other (id \(before.program))"])
                try expectLedger(result, captured: 100, encoded: 100)
                #expect(try space.xdpProgram("right")?.program == before.program)
            }
        }
    }

    @Test("An interface with the default route is mirrored, unless consuming is asked for by name")
    func defaultRoute() throws {
        try withNetworkNamespace { space in
            try space.ip("address", "add", "10.77.0.1/24", "dev", "right")
            try space.ip("route", "add", "default", "via", "10.77.0.2")
            let mirror = try RunningRelay(["-i", "right", "--to", "null"], namespace: space)
            try space.waitForCaptures()
            try space.send(0..<100)
            let mirrored = try stop(mirror)
            mirrored.expect(exits: 0, naming: ["af-packet", "default route", "--tap consume"])
            try expectLedger(mirrored, captured: 100, encoded: 100)
            let rung = ["-i", "right", "--capture", "xdp-native", "--to", "null"]
            try RunningRelay(rung, namespace: space).finish().expect(
                exits: 64, naming: ["default route", "--tap consume"])
            let running = try space.xdpRelay(rung + ["--tap", "consume"])
            try stop(running).expect(exits: 0, naming: ["xdp-native"])
        }
    }

    @Test("A port of the bridge that carries the default route is mirrored too")
    func bridge() throws {
        try withNetworkNamespace { space in
            try space.ip("link", "add", "bridge0", "type", "bridge")
            try space.ip("link", "set", "right", "master", "bridge0")
            try space.ip("link", "set", "bridge0", "up")
            try space.ip("address", "add", "10.77.0.1/24", "dev", "bridge0")
            try space.ip("route", "add", "default", "via", "10.77.0.2")
            let running = try RunningRelay(["-i", "right", "--to", "null"], namespace: space)
            try space.waitForCaptures()
            try stop(running).expect(exits: 0, naming: ["af-packet", "default route"])
            let other = try space.xdpRelay(["-i", "left", "--to", "null"])
            try stop(other).expect(exits: 0, naming: ["xdp-native"])
        }
    }

    @Test("Two interfaces in one run; when the second one cannot be had, the first is left as it was")
    func twoInterfaces() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(
                ["-i", "left", "-i", "right", "--memory", "96M", "--to", reader.address], queues: 2)
            try space.send(0..<1000)
            try space.send(1000..<3000, from: "right")
            try reader.waitFor(packets: 3000)
            let result = try stop(running)
            result.expect(exits: 0)
            try expectLedger(result, captured: 3000, encoded: 3000)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let arrived = zip(stream.packetInterfaces, stream.packets)
            for (name, numbers) in [("right", 0..<1000), ("left", 1000..<3000)] {
                expectFrames(arrived.filter { stream.interfaces[Int($0.0)] == name }.map(\.1), numbers)
            }
            let failed = try RunningRelay(["-i", "right", "-i", "nowhere0", "--to", "null"], namespace: space).finish()
            failed.expect(exits: 66, naming: ["nowhere0"])
            for name in ["left", "right"] { #expect(try space.xdpProgram(name) == nil) }
        }
    }

    @Test("Promiscuous mode and the card's handling of VLAN tags are set, and as before afterwards")
    func restored() throws {
        try requireTool("ethtool")
        try withNetworkNamespace { space in
            func state() throws -> [String] {
                let command = space.inside("ethtool", ["-k", "right"])
                let features = try run(command.tool, command.arguments).checked().outputLines
                let promiscuity = try space.ip("-d", "link", "show", "right").outputText.split(separator: " ")
                let place = try #require(promiscuity.firstIndex(of: "promiscuity"))
                return features.filter { $0.hasPrefix("rx-vlan-offload") } + [String(promiscuity[place + 1])]
            }
            #expect(try state() == ["rx-vlan-offload: on", "0"])
            let running = try space.xdpRelay(["-i", "right", "--to", "null"])
            #expect(try state() == ["rx-vlan-offload: off", "1"])
            try stop(running).expect(exits: 0)
            #expect(try state() == ["rx-vlan-offload: on", "0"])
        }
    }

    @Test("Two receive queues, two threads: together they have every frame; one of them alone leaves the other's")
    func queues() throws {
        try requireTool("ethtool")
        try withNetworkNamespace { space in
            try space.makePair(queues: 2)
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--to", reader.address, "--memory", "96M"], queues: 2)
            // Many flows, so that the sender's hash chooses both queues.
            let sender = try space.enter { try FrameSender("left") }
            func frame(_ number: Int) -> [UInt8] { numberedFrame(number, port: UInt16(1000 + number % 500)) }
            for number in 0..<2000 { try sender.send(frame(number)) }
            try reader.waitFor(packets: 2000)
            let result = try stop(running)
            result.expect(exits: 0, naming: ["queues 0-1"])
            let report = try expectLedger(result, captured: 2000, encoded: 2000)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            #expect(stream.interfaces == ["right"])
            let packets = stream.packets.map { Packet(time: 0, original: $0.original, bytes: $0.bytes) }
            expectSame(packets, (0..<2000).map { Packet(time: 0, original: 200, bytes: frame($0)) }, "both queues")
            let shares = try queueCounts(report)
            #expect(shares.count == 2 && shares.allSatisfy { $0 > 0 } && shares.reduce(0, +) == 2000)

            let half = try space.xdpRelay(["-i", "right@1", "--to", "null"])
            for number in 0..<2000 { try sender.send(frame(number)) }
            let partial = try stop(half)
            partial.expect(exits: 0, naming: ["queues 1"])
            let account = try expectLedger(partial, captured: Int(shares[1]))
            #expect(try account.count("other_queues") == shares[0])
        }
    }

    private func queueCounts(_ report: Report) throws -> [UInt64] {
        guard case .array(let interfaces) = report["capture"]?["interfaces"],
            case .array(let queues) = interfaces.first?["queues"]
        else { return [] }
        return try queues.map { try #require($0["captured"]?.count) }
    }

    @Test("Over the captured interface our own connection and our neighbours' questions work; all else is captured")
    func ownTraffic() throws {
        try withNetworkNamespace { space in
            try withNetworkNamespace { peer in
                try space.connect(to: peer)
                let reader = try peer.enter { try Reader(host: 2) }
                let running = try space.xdpRelay(["-i", "wire", "--to", reader.address])
                try running.waitFor("connected to")
                // A question for an address that is not ours is somebody else's, and captured.
                let sender = try peer.enter { try FrameSender("wire") }
                let foreign = PacketBuilder.ethernet(
                    [0, 1, 8, 0, 6, 4, 0, 1] + [2, 0, 0, 0, 0, 9, 10, 77, 0, 9] + [0, 0, 0, 0, 0, 0, 10, 77, 0, 8],
                    type: 0x0806)
                let broadcast = [UInt8](repeating: 0xff, count: 6) + foreign[6...]
                try sender.send(broadcast)
                for portion in 0..<20 { try peer.send(portion * 100..<portion * 100 + 100, from: "wire") }
                try waitUntil("the frames come out") {
                    try reader.streams.first.map { try Stream($0).packets.count { $0.bytes.count == 200 } } == 2000
                }
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                #expect(try report.count("passed") > 0)
                #expect(try report.count("filtered", "own") == 0)
                try reader.waitForEnd()
                let packets = try Stream(reader.streams[0]).packets
                expectFrames(packets.filter { $0.bytes.count == 200 }, 0..<2000)
                let others = packets.filter { $0.bytes.count != 200 }.map(\.bytes)
                #expect(others == [broadcast])
            }
        }
    }
}
