import Glibc
import TestSupport
import Testing

@Suite("Life of a capture through AF_XDP", .serialized)
struct XDPLifeTests {
    /// Rounds of the test below; the environment asks for more.
    static var rounds: Int { environmentValue("SPILLWAY_ROUNDS").flatMap { Int($0) } ?? 8 }

    @Test("Started and stopped under full load on two interfaces: every ledger adds up, nothing stays in the kernel")
    func startAndStop() throws {
        try requireTool("bpftool")
        try withNetworkNamespace { space in
            try space.ip("link", "add", "left2", "type", "veth", "peer", "name", "right2")
            for interface in ["left2", "right2"] { try space.ip("link", "set", interface, "up") }
            // Without it the generator would put a program of its own there, which is left alone.
            try requireTool("ethtool")
            for interface in ["right", "right2"] {
                let command = space.inside("ethtool", ["-K", interface, "gro", "on"])
                try run(command.tool, command.arguments).checked()
            }
            let load = try ["left", "left2"].map { try Load(space, $0) }
            defer { for one in load { one.stop() } }
            var captured: UInt64 = 0
            for round in 0..<Self.rounds {
                let rung = XDPTests.rungs[round % 2]
                let running = try space.xdpRelay(
                    ["-i", "right", "-i", "right2", "--capture", rung, "--to", "null"], queues: 2)
                let presences = try ["right", "right2"].map { try #require(try space.xdpProgram($0)) }
                // The first rounds end before the first packet, later ones in the middle of many.
                usleep(UInt32(round % 5) * 20_000)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result)
                captured += try report.count("captured")
                // A socket that is closed while packets come may refuse some; they are counted, and the ledger has them.
                #expect(try report.count("dropped", "unexplained") == 0)
                for interface in ["right", "right2"] { #expect(try space.xdpProgram(interface) == nil) }
                for presence in presences { try presence.expectGone() }
            }
            #expect(captured > UInt64(Self.rounds) * 100)
        }
    }

    /// A generator at full speed, as far as everything else leaves it time.
    private final class Load {
        private let child: ChildProcess

        init(_ space: NetworkNamespace, _ interface: String) throws {
            let command = space.inside(
                "nice",
                [
                    "-n", "15", try builtExecutable("spillway"), "generate", "-i", interface, "--rate", "max",
                    "--duration", "1h",
                ])
            child = try ChildProcess(command.tool, command.arguments)
        }

        func stop() {
            child.send(signal: SIGTERM)
            _ = try? child.wait()
        }
    }

    @Test("One of two interfaces is removed under way: 66, and what both brought before is delivered")
    func oneRemoved() throws {
        try withNetworkNamespace { space in
            try space.ip("link", "add", "left2", "type", "veth", "peer", "name", "right2")
            for interface in ["left2", "right2"] { try space.ip("link", "set", interface, "up") }
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "-i", "right2", "--to", reader.address], queues: 2)
            let presences = try ["right", "right2"].map { try #require(try space.xdpProgram($0)) }
            try space.send(0..<300)
            try space.send(300..<600, from: "left2")
            try reader.waitFor(packets: 600)
            try space.ip("link", "del", "left2")
            try running.waitFor("right2: the interface was removed")
            let result = try stop(running)
            result.expect(exits: 66, naming: ["right2", "removed"])
            try expectLedger(result, captured: 600, encoded: 600)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<600)
            for presence in presences { try presence.expectGone() }
        }
    }

    @Test("Queues of choice on two interfaces in one run: each packet is captured, or counted as another queue's")
    func queuesOfTwo() throws {
        try requireTool("ethtool")
        try withNetworkNamespace { space in
            for (one, other) in [("left", "right"), ("left2", "right2")] { try space.makePair(one, other, queues: 2) }
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right@1", "-i", "right2", "--to", reader.address], queues: 3)
            // Many flows, so that the sender's hash chooses both queues.
            func frame(_ number: Int) -> [UInt8] { numberedFrame(number, port: UInt16(1000 + number % 500)) }
            for (interface, numbers) in [("left", 0..<1000), ("left2", 1000..<2000)] {
                let sender = try space.enter { try FrameSender(interface) }
                for number in numbers { try sender.send(frame(number)) }
            }
            try reader.waitFor(packets: 1001)
            let result = try stop(running)
            result.expect(exits: 0, naming: ["queues 1", "queues 0-1"])
            let report = try expectLedger(result)
            let others = try report.count("other_queues")
            #expect(others > 0 && others < 1000)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let arrived = zip(stream.packetInterfaces, stream.packets).map { (stream.interfaces[Int($0)], $1) }
            let whole = arrived.filter { $0.0 == "right2" }.map { number(of: $0.1) }
            #expect(Set(whole) == Set(1000..<2000) && whole.count == 1000)
            let half = arrived.filter { $0.0 == "right" }.map { number(of: $0.1) }
            #expect(Set(half).count == half.count && Set(half).isSubset(of: 0..<1000))
            #expect(half.count == 1000 - Int(others))
        }
    }

    /// What busy polling changes of an interface.
    private func deferred(_ space: NetworkNamespace) throws -> [String] {
        let paths = ["napi_defer_hard_irqs", "gro_flush_timeout"].map { "/sys/class/net/right/\($0)" }
        let command = space.inside("cat", paths)
        return try run(command.tool, command.arguments).checked().outputLines
    }

    @Test("Busy polling: every frame arrives, interrupts wait meanwhile and come as before afterwards")
    func busyPoll() throws {
        try withNetworkNamespace { space in
            let before = try deferred(space)
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--busy-poll", "--to", reader.address])
            #expect(try deferred(space) == ["2", "200000"])
            for portion in 0..<10 { try space.send(portion * 300..<portion * 300 + 300) }
            try reader.waitFor(packets: 3000)
            let result = try stop(running)
            result.expect(exits: 0)
            try expectLedger(result, captured: 3000, encoded: 3000)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<3000)
            #expect(try deferred(space) == before)
        }
    }

    @Test("A run that is killed leaves settings changed; the next one sets them back, says so, and leaves nothing")
    func setBackAfterKill() throws {
        try withNetworkNamespace { space in
            let before = try deferred(space)
            let killed = try space.xdpRelay(["-i", "right", "--busy-poll", "--to", "null"])
            killed.child.send(signal: SIGKILL)
            _ = try killed.child.wait()
            #expect(try deferred(space) == ["2", "200000"])
            let next = try space.xdpRelay(["-i", "right", "--to", "null"])
            #expect(try deferred(space) == before)
            let result = try stop(next)
            result.expect(exits: 0, naming: ["right: set back", "napi_defer_hard_irqs", "gro_flush_timeout"])
            let last = try stop(try space.xdpRelay(["-i", "right", "--to", "null"]))
            #expect(!last.command.errorText.contains("set back"))
            #expect(try deferred(space) == before)
        }
    }

    @Test("Busy polling where it cannot be: with a packet socket it is said, with files refused")
    func noBusyPoll() throws {
        try withNetworkNamespace { space in
            let running = try RunningRelay(
                ["-i", "right", "--busy-poll", "--capture", "af-packet", "--to", "null"], namespace: space)
            try space.waitForCaptures()
            try stop(running).expect(exits: 0, naming: ["right: --busy-poll does nothing here"])
            try RunningRelay(["-r", "-", "--busy-poll", "--to", "null"]).finish()
                .expect(exits: 64, naming: ["--busy-poll"])
        }
    }
}
