import Glibc
import TestSupport
import Testing

@Suite("Selective capture", .serialized)
struct XDPSelectiveTests {
    @Test(
        "What the filter matches is captured and leaves the stack; the stack has all the rest, and it is counted",
        arguments: XDPTests.rungs)
    func selective(rung: String) throws {
        try withNetworkNamespace { space in
            let reader = try space.reader()
            let running = try space.xdpRelay(
                [
                    "-i", "right", "--capture", rung, "--tap", "selective", "-f",
                    "udp and (dst port 4711 or dst port 4712)", "--to", reader.address,
                ])
            // What an ordinary packet socket sees is what the stack has.
            let stack = try RunningRelay(["-i", "right", "--capture", "af-packet", "--to", "null"], namespace: space)
            try space.waitForCaptures()
            let sender = try space.enter { try FrameSender("left") }
            for number in 0..<700 { try sender.send(numberedFrame(number, port: 53)) }
            try space.send(0..<1000)
            try reader.waitFor(packets: 1000)
            let result = try stop(running)
            result.expect(exits: 0, naming: ["the stack sees all that does not match"])
            let report = try expectLedger(result, captured: 1000, encoded: 1000)
            #expect(try report.count("unmatched") == 700)
            #expect(try report.count("filtered", "expression") == 0)
            guard case .array(let interfaces) = report["capture"]?["interfaces"], let first = interfaces.first else {
                Issue.record("no interface in the report")
                return
            }
            #expect(first["tap"] == .text("selective") && first["clock"] == .text("kernel"))
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<1000)
            try expectLedger(stop(stack), captured: 700, encoded: 700)
        }
    }

    @Test("64: without a filter, with one that is none, or with one that cannot be tested in the kernel, and why")
    func refused() throws {
        try withNetworkNamespace { space in
            func fails(_ arguments: [String], _ words: [String]) throws {
                try RunningRelay(["-i", "right", "--to", "null", "--tap", "selective"] + arguments, namespace: space)
                    .finish().expect(exits: 64, naming: words)
            }
            try fails([], ["--tap selective", "-f"])
            try fails(["-f", "no such thing"], ["no such thing"])
            try fails(["-f", "ether[0] & 1 = 0"], ["ether[0] & 1 = 0", "cannot be tested", "--tap consume"])
            try fails(["-f", "udp", "--capture", "af-packet"], ["--capture af-packet", "--tap selective"])
            #expect(try space.xdpProgram("right") == nil)
        }
    }

    @Test("A filter that the kernel cannot test is tested afterwards where everything is consumed")
    func consume() throws {
        try withNetworkNamespace { space in
            let running = try space.xdpRelay(["-i", "right", "-f", "ether[0] & 1 = 0 and udp port 53", "--to", "null"])
            let sender = try space.enter { try FrameSender("left") }
            for number in 0..<100 { try sender.send(numberedFrame(number, port: 53)) }
            try space.send(0..<150)
            let result = try stop(running)
            let report = try expectLedger(result, captured: 250, encoded: 100)
            #expect(try report.count("filtered", "expression") == 150 && report.count("unmatched") == 0)
        }
    }
}
