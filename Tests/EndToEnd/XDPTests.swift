import Glibc
import TestSupport
import Testing

@Suite("Capture through AF_XDP", .serialized)
struct XDPTests {
    /// The rungs that veth has.
    static let rungs = ["xdp-native", "xdp-generic"]
    /// Capture and worker in one thread, and in two.
    static let placements = [
        ["--capture-cpus", "1"], ["--capture-cpus", "0", "--worker-cpus", "1"],
    ]

    @Test(
        "Exactly the frames that were sent arrive, in order, at times between the two, and nothing stays in the kernel",
        arguments: rungs, placements)
    func exact(rung: String, placement: [String]) throws {
        try requireTool("bpftool")
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let reader = try space.reader()
                let running = try space.xdpRelay(
                    ["-i", "right", "--capture", rung, "--to", reader.address, "-w", "\(folder)/file"] + placement)
                let presence = try #require(try space.xdpProgram("right"))
                // Of the filter's maps none is made; the sixth are the program's constants.
                #expect(presence.maps.count == 6)
                let before = realtime()
                try space.send(0..<5000)
                try reader.waitFor(packets: 5000)
                let after = realtime()
                let result = try stop(running)
                result.expect(exits: 0, naming: ["capture on right: \(rung), queues 0"])
                let report = try expectLedger(result, captured: 5000, encoded: 5000)
                try expectCapture(report, mode: rung, tap: "consume")
                try reader.waitForEnd()
                let stream = try Stream(reader.streams[0])
                expectFrames(stream.packets, 0..<5000)
                #expect(stream.packets.allSatisfy { $0.time >= before && $0.time <= after })
                let file = try Stream(readFile("\(folder)/file"))
                #expect(file.packets.map { number(of: $0) } == Array(0..<5000))
                #expect(zip(file.packets, file.packets.dropFirst()).allSatisfy { $0.time <= $1.time })
                #expect(try space.xdpProgram("right") == nil)
                try presence.expectGone()
            }
        }
    }

    private func expectCapture(
        _ report: Report, mode: String, tap: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        guard case .array(let interfaces) = report["capture"]?["interfaces"], let first = interfaces.first else {
            Issue.record("no interface in the report", sourceLocation: sourceLocation)
            return
        }
        #expect(first["mode"] == .text(mode), sourceLocation: sourceLocation)
        #expect(first["tap"] == .text(tap), sourceLocation: sourceLocation)
    }

    @Test("Frames of 9000 bytes arrive whole, among small ones", arguments: rungs)
    func jumbo(rung: String) throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "9000") }
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--capture", rung, "--to", reader.address])
            for start in stride(from: 0, to: 200, by: 2) {
                try space.send(start..<start + 1, size: 9014)
                try space.send(start + 1..<start + 2)
            }
            try reader.waitFor(packets: 200)
            let result = try stop(running)
            result.expect(exits: 0, naming: ["packets of any size"])
            try expectLedger(result, captured: 200, encoded: 200)
            try reader.waitForEnd()
            let packets = try Stream(reader.streams[0]).packets
            expectFrames(packets.filter { $0.bytes.count > 200 }, stride(from: 0, to: 200, by: 2), size: 9014)
            expectFrames(packets.filter { $0.bytes.count <= 200 }, stride(from: 1, to: 200, by: 2))
        }
    }

    @Test("VLAN tags, one or two, stay in the frame", arguments: rungs)
    func vlan(rung: String) throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--capture", rung, "--to", reader.address])
            let sender = try space.enter { try FrameSender("left") }
            let frames = (0..<100).map { number in
                let plain = liveFrame(number)
                let tags: [UInt8] = number % 2 == 0 ? [0x81, 0, 0x20, 100] : [0x88, 0xa8, 0, 7, 0x81, 0, 0x0f, 0xff]
                return Array(plain[..<12]) + tags + Array(plain[12...])
            }
            for frame in frames { try sender.send(frame) }
            try reader.waitFor(packets: 100)
            let result = try stop(running)
            result.expect(exits: 0)
            try expectLedger(result, captured: 100, encoded: 100)
            try reader.waitForEnd()
            let packets = try Stream(reader.streams[0]).packets.map {
                Packet(time: 0, original: $0.original, bytes: $0.bytes)
            }
            expectSame(packets, frames.map { Packet(time: 0, original: UInt32($0.count), bytes: $0) }, "tagged frames")
        }
    }

    @Test("-f is applied to what AF_XDP delivers, -c ends the run")
    func filterAndCount() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(
                ["-i", "right", "-f", "udp port 4711", "-c", "300", "--to", reader.address])
            let other = try space.enter { try FrameSender("left") }
            for number in 0..<100 { try other.send(numberedFrame(number, port: 53)) }
            try space.send(0..<1000)
            let result = try running.finish()
            result.expect(exits: 0)
            let report = try expectLedger(result, encoded: 300)
            #expect(try report.count("filtered", "expression") == 100)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<300)
            #expect(try space.xdpProgram("right") == nil)
        }
    }

    @Test("A killed run leaves nothing in the kernel; the next one captures", arguments: rungs)
    func killed(rung: String) throws {
        try requireTool("bpftool")
        try withNetworkNamespace { space in
            let first = try space.xdpRelay(["-i", "right", "--capture", rung, "--to", "null"])
            let presence = try #require(try space.xdpProgram("right"))
            first.child.send(signal: SIGKILL)
            _ = try first.child.wait()
            try presence.expectGone()
            #expect(try space.xdpProgram("right") == nil)
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--to", reader.address])
            try space.send(0..<1000)
            try reader.waitFor(packets: 1000)
            let result = try stop(running)
            result.expect(exits: 0)
            try expectLedger(result, captured: 1000, encoded: 1000)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<1000)
            #expect(try space.xdpProgram("right") == nil)
        }
    }

    @Test("66: the interface is removed; everything before is delivered")
    func removed() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--to", reader.address])
            try space.send(0..<300)
            try reader.waitFor(packets: 300)
            let presence = try space.xdpProgram("right")
            try space.ip("link", "del", "left")
            let result = try running.finish()
            result.expect(exits: 66, naming: ["right", "removed"])
            try expectLedger(result, captured: 300, encoded: 300)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<300)
            try presence?.expectGone()
        }
    }

    @Test("The interface goes down and comes back: packets arrive again")
    func downAndUp() throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--to", reader.address])
            try space.send(0..<300)
            try reader.waitFor(packets: 300)
            for state in ["down", "up"] { try space.ip("link", "set", "right", state) }
            try waitUntil("the wire is up") { try space.ip("link", "show", "left").outputText.contains("LOWER_UP") }
            try space.send(300..<600)
            try reader.waitFor(packets: 600)
            let result = try stop(running)
            result.expect(exits: 0)
            try expectLedger(result, captured: 600, encoded: 600)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<600)
        }
    }

    @Test("A relay held up for a while: what found no frame is counted to the packet", arguments: rungs)
    func fillRingEmpty(rung: String) throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--capture", rung, "--to", reader.address])
            running.child.send(signal: SIGSTOP)
            try space.send(0..<30_000, size: 1000)
            running.child.send(signal: SIGCONT)
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 30_000)
            let dropped = try report.count("dropped", "fill_ring_empty")
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let numbers = Set(stream.packets.map { number(of: $0) })
            // The worker, which finds all frames full at once, may lose some of them in its turn.
            let atWorker = try report.count("dropped", "pool_full")
            let atReader = try report.onlyDestination().losses.values.reduce(0, +)
            #expect(dropped > 0 && numbers.count == 30_000 - Int(dropped + atWorker + atReader))
            #expect(try report.count("dropped", "redirect") == 0)
            expectFrames(stream.packets, numbers, size: 1000)
            #expect(try #require(stream.statistics.last).values[5] == dropped)
        }
    }
}
