import Glibc
import TestSupport
import Testing

@Suite("Readers that break, come late or never read")
struct BrokenReaderTests {
    private let packets = numberedPackets(0..<20_000)

    private func withInput(_ body: (_ path: String) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            try body("\(folder)/in")
        }
    }

    /// Packets that came more than once in whole batches: exactly these the relay knows to have sent again.
    private func repeats(_ streams: [Stream]) -> Int {
        let all = streams.flatMap { $0.batches.map { ($0.number, $0.packets.count) } }
        var seen: Set<UInt64> = []
        return all.reduce(0) { seen.insert($1.0).inserted ? $0 : $0 + $1.1 }
    }

    @Test("Reset in the middle and back on the same port: both connections together have everything")
    func reset() throws {
        try withInput { path in
            let first = try Reader(receiveBuffer: 65_536)
            let running = try RunningRelay(["-r", path, "--to", "\(first.address),name=it"])
            try waitUntil("the first bytes") { first.byteCount > 500_000 }
            first.set(.stalled)
            try first.waitUntilFull()
            first.vanish()
            let second = try Reader(port: first.port)
            let result = try running.finish()
            result.expect(exits: 0)
            let it = try expectLedger(result, captured: packets.count, encoded: packets.count).destination("it")
            #expect(try it.count("reconnects") == 1 && it.losses.isEmpty)
            try second.waitForEnd()
            let streams = try [Stream(first.streams[0]), Stream(second.streams[0])]
            #expect(streams.allSatisfy { $0.sections == 1 && $0.batches.count > 1 })
            let union = Set(streams.flatMap(\.packets))
            #expect(union == Set(packets))
            #expect(try it.count("resent") >= UInt64(repeats(streams)))
        }
    }

    @Test("nc killed and started again on the same port: both outputs together have everything")
    func killedNetcat() throws {
        try requireTool("nc")
        let port = try freePort()
        let running = try RunningRelay(["-r", "-", "--to", "127.0.0.1:\(port),name=it"])
        let bytes = captureFile(packets)
        let part = 24 + 216 * 5000
        let first = try ChildProcess("nc", ["-l", "127.0.0.1", "\(port)"])
        try running.child.writeInput(Array(bytes[..<part]))
        try waitUntil("the first part") { try Stream(first.outputBytes).packets.count == 5000 }
        first.send(signal: SIGKILL)
        _ = try first.wait()
        // It goes into a connection whose other end is gone.
        try running.child.writeInput(Array(bytes[part..<part + 216 * 100]))
        try running.waitFor("connection lost")
        let second = try ChildProcess("nc", ["-l", "127.0.0.1", "\(port)"])
        try running.child.writeInput(Array(bytes[(part + 216 * 100)...]))
        running.child.closeInput()
        let result = try running.finish()
        result.expect(exits: 0)
        let it = try expectLedger(result, captured: packets.count, encoded: packets.count).destination("it")
        #expect(it.losses.isEmpty)
        let end = try second.wait()
        let streams = try [Stream(first.outputBytes), Stream(end.output)]
        #expect(Set(streams.flatMap(\.packets)) == Set(packets))
        #expect(repeats(streams) == 0)
    }

    @Test("Of two readers one never reads: the other has everything, 69, and the loss is counted to the packet")
    func oneNeverReads() throws {
        try withInput { path in
            let (dead, alive) = (try Reader(.stalled, receiveBuffer: 32_768), try Reader())
            // A pool far smaller than the input, which is 4 MiB of packets.
            let result = try relay(
                ["-r", path, "-r", path, "-r", path, "-r", path, "--memory", "17M", "--drain-timeout", "700ms"]
                    + ["--to", "\(dead.address),name=dead", "--to", "\(alive.address),name=alive"])
            result.expect(exits: 69, naming: ["dead"])
            let report = try expectLedger(result, captured: 4 * packets.count, encoded: 4 * packets.count)
            try alive.waitForEnd()
            expectSame(try Stream(alive.streams[0]).packets, packets + packets + packets + packets)
            #expect(try report.destination("alive").losses.isEmpty)
            let lost = try report.destination("dead")
            dead.lookAtUnread()
            let delivered = try Stream(dead.streams[0]).batches.reduce(0) { $0 + $1.packets.count }
            #expect(try lost.count("delivered") <= UInt64(delivered))
            #expect(lost.losses.keys.sorted() == ["unreachable"])
            #expect(try lost.dropped["unreachable"] == UInt64(4 * packets.count) - lost.count("delivered"))
        }
    }

    @Test("A destination that is not there at first")
    func comesLater() throws {
        try withInput { path in
            let port = try freePort()
            let running = try RunningRelay(["-r", path, "--to", "127.0.0.1:\(port),name=it"])
            try running.waitFor("trying again")
            let reader = try Reader(port: port)
            let result = try running.finish()
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: packets.count, encoded: packets.count)
            #expect(try report.destination("it").count("resent") == 0)
            try reader.waitForEnd()
            expectSame(try Stream(reader.streams[0]).packets, packets)
        }
    }

    @Test("69: a destination that never comes; what it was owed is counted")
    func neverComes() throws {
        try withInput { path in
            let port = try freePort()
            let result = try relay(
                ["-r", path, "--drain-timeout", "300ms", "--to", "127.0.0.1:\(port),name=nobody"])
            result.expect(exits: 69, naming: ["nobody", "refused"])
            let nobody = try expectLedger(result, captured: packets.count).destination("nobody")
            #expect(nobody.losses == ["unreachable": UInt64(packets.count)] && !nobody.isUp)
        }
    }

    @Test("69 also where reading had to stop because the pool was full")
    func neverComesAndFull() throws {
        try withInput { path in
            let port = try freePort()
            let result = try relay(
                (0..<8).flatMap { _ in ["-r", path] }
                    + ["--memory", "17M", "--drain-timeout", "300ms", "--to", "127.0.0.1:\(port),name=nobody"])
            result.expect(exits: 69, naming: ["nobody"])
            let report = try expectLedger(result)
            let encoded = try report.count("encoded")
            #expect(encoded < UInt64(8 * packets.count))
            #expect(try report.destination("nobody").losses == ["unreachable": encoded])
        }
    }

    @Test("A destination that resets every connection, again and again, until it thinks better of it")
    func slams() throws {
        try withInput { path in
            let reader = try Reader(.slamming, receiveBuffer: 32_768)
            let running = try RunningRelay(["-r", path, "--to", "\(reader.address),name=it"])
            try waitUntil("five connections") { reader.streams.count >= 5 }
            reader.set(.reading)
            let result = try running.finish()
            result.expect(exits: 0)
            let it = try expectLedger(result, captured: packets.count, encoded: packets.count).destination("it")
            #expect(it.losses.isEmpty)
            #expect(try it.count("connects") == UInt64(reader.streams.count))
            #expect(try it.count("reconnects") == UInt64(reader.streams.count - 1))
            try reader.waitForEnd()
            let streams = try reader.streams.map { try Stream($0) }
            #expect(Set(streams.flatMap(\.packets)) == Set(packets))
            #expect(try it.count("resent") >= UInt64(repeats(streams)))
        }
    }
}
