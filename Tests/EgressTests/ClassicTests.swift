import Egress
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: classic capture streams", .serialized, .timeLimit(.minutes(5)))
struct ClassicTests {
    /// A classic stream, taken apart by docs/format.md.
    private func parse(_ bytes: [UInt8], nanoseconds: Bool) throws -> [SamplePacket] {
        func word(_ place: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) }
        }
        guard bytes.count >= 24 else { throw RigProblem("\(bytes.count) bytes are no classic stream") }
        #expect(word(0) == (nanoseconds ? 0xA1B2_3C4D : 0xA1B2_C3D4))
        let rest: [UInt8] = [2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]
        #expect(Array(bytes[4..<24]) == rest)
        var packets: [SamplePacket] = []
        var place = 24
        while place < bytes.count {
            let captured = Int(word(place + 8))
            let fraction = UInt64(word(place + 4)) * (nanoseconds ? 1 : 1000)
            packets.append(
                SamplePacket(
                    time: UInt64(word(place)) * 1_000_000_000 + fraction, original: word(place + 12), interface: 0,
                    bytes: Array(bytes[(place + 16)..<(place + 16 + captured)])))
            place += 16 + captured
        }
        return packets
    }

    /// What the classic form leaves of a packet.
    private func cut(_ packet: SamplePacket, nanoseconds: Bool) -> SamplePacket {
        SamplePacket(
            time: nanoseconds ? packet.time : packet.time / 1000 * 1000, original: packet.original, interface: 0,
            bytes: Array(packet.bytes.prefix(65535)))
    }

    @Test(
        "Microseconds and nanoseconds, cut to 65535 bytes with the true length kept, readable by tcpdump",
        arguments: [false, true])
    func profiles(nanoseconds: Bool) throws {
        try requireTool("tcpdump")
        try requireTool("tshark")
        let listener = try TestListener()
        var options = RigOptions()
        options.isFileInput = true
        let plan = DestinationPlan.to(listener, wire: .classic(nanoseconds: nanoseconds), newestFirst: false)
        let rig = try EgressRig([plan], options)
        let reader = try BackgroundReader(try listener.accept())
        for size in 0..<70 { try rig.feeder.feed(bytes: size) }
        for size in [65_534, 65_535, 65_536, 65_537, 262_144, 100_000] { try rig.feeder.feed(bytes: size) }
        try rig.feeder.feed(500, bytes: 700)
        try rig.finish()
        let bytes = try reader.finishBytes()
        let expected = rig.fed.map { cut($0, nanoseconds: nanoseconds) }
        let packets = try parse(bytes, nanoseconds: nanoseconds)
        #expect(packets == expected)
        #expect(rig.snapshot()[.cutForProfile] == 4)
        #expect(rig.snapshot()[.delivered] == UInt64(rig.fed.count))
        try withTemporaryDirectory { folder in
            let path = "\(folder)/stream"
            try writeFile(path, bytes)
            let count = try run("tcpdump", ["--count", "-r", path]).checked().outputLines
            #expect(count == ["\(rig.fed.count) packets"])
            #expect(try tsharkPackets(path, interfacesPerSection: [1]) == expected)
        }
    }

    @Test("Newest first with stalls and lost segments: every packet once, cut packets counted once")
    func stalled() throws {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        options.segments = 4
        let rig = try EgressRig([.to(listener, wire: .classic(nanoseconds: true))], options)
        let reader = try listener.accept()
        for _ in 0..<6 {
            try rig.feeder.feed(4, bytes: 70_000)
            try rig.feeder.feed(100, bytes: 3000)
            rig.feeder.flush()
            try rig.waitUntilAssigned()
            for _ in 0..<3 { reader.read(atMost: 5000, milliseconds: 5) }
        }
        let rest = try BackgroundReader(reader)
        try rig.finish()
        let packets = try parse(try rest.finishBytes(), nanoseconds: true)
        let difference = PacketDifference(packets, expected: rig.fed.map { cut($0, nanoseconds: true) })
        #expect(difference.repeated + difference.foreign == 0)
        #expect(!difference.missing.isEmpty)
        #expect(rig.snapshot()[.droppedEvicted] == UInt64(difference.missing.count))
        #expect(rig.snapshot()[.cutForProfile] == UInt64(packets.count { $0.original > 65_535 }))
    }

    @Test("A run without packets and interfaces ends, with an empty stream")
    func empty() throws {
        let listener = try TestListener()
        var options = RigOptions()
        options.registersInterface = false
        let rig = try EgressRig([.to(listener, wire: .classic(nanoseconds: false))], options)
        let reader = try listener.accept()
        try rig.finish(seconds: 10)
        try reader.readToEnd()
        #expect(reader.bytes.isEmpty)
    }
}
