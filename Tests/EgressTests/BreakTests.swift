import Egress
import Glibc
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: broken connections", .serialized, .timeLimit(.minutes(5)))
struct BreakTests {
    @Test("A reader that is killed and comes back: what was not acknowledged is sent again, nothing is missing")
    func killedAndBack() throws {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        options.batch.bytes = 4096
        let rig = try EgressRig([.to(listener)], options)
        var streams: [ParsedStream] = []
        var least: UInt64 = 0
        for _ in 0..<4 {
            let reader = try listener.accept()
            try rig.feeder.feed(400, bytes: 900)
            rig.feeder.flush()
            try rig.waitUntilAssigned()
            try rig.waitUntilQuiet()
            // All that was acknowledged lies in the reader's buffer; it takes it over and dies.
            reader.peek()
            let stream = try reader.stream()
            #expect(rig.snapshot()[.delivered] == least + UInt64(stream.packets.count))
            least = rig.snapshot()[.delivered]
            streams.append(stream)
            reader.reset()
        }
        let last = try BackgroundReader(try listener.accept())
        try rig.finish()
        streams.append(try last.finish())
        // Each connection was still, so that its end is known: nothing comes twice and nothing is missing.
        #expect(rig.compare(streams.flatMap(\.packets)).isNone)
        let counters = rig.snapshot()
        #expect(counters[.delivered] == UInt64(rig.fed.count))
        #expect(counters[.resent] > 0)
        #expect(counters[.resent] < UInt64(rig.fed.count))
        #expect([counters[.connects], counters[.reconnects]] == [5, 4])
    }

    @Test(
        "A batch in flight whose memory was taken is lost when the connection breaks, and counted",
        arguments: [(20, 200_000), (3000, 1000)])
    func orphans(packets: Int, bytes: Int) throws {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        (options.segments, options.batch.packets) = (4, 1)
        let rig = try EgressRig([.to(listener)], options)
        let first = try listener.accept()
        try rig.feeder.feed(packets, bytes: bytes)
        rig.feeder.flush()
        try rig.waitUntilAssigned()
        try rig.waitUntilQuiet()
        first.peek()
        first.reset()
        let second = try BackgroundReader(try listener.accept())
        try rig.finish()
        let got = try first.stream().packets + second.finish().packets
        let difference = rig.compare(got)
        #expect(!difference.missing.isEmpty)
        #expect(difference.repeated + difference.foreign == 0)
        #expect(rig.snapshot()[.droppedEvicted] == UInt64(difference.missing.count))
        #expect(rig.snapshot()[.delivered] == UInt64(got.count))
    }

    @Test("A reader that only shuts down its sending side goes on reading")
    func halfClosed() throws {
        let listener = try TestListener()
        let rig = try EgressRig([.to(listener)])
        let reader = try listener.accept()
        _ = unsafe write(reader.descriptor, "hello", 5)
        shutdown(reader.descriptor, Int32(SHUT_WR))
        try rig.feeder.feed(500, bytes: 900)
        let background = try BackgroundReader(reader)
        try rig.finish()
        #expect(rig.compare(try background.finish()).isNone)
        #expect(rig.snapshot()[.connects] == 1)
    }

    @Test("A destination that is not there yet gets everything when it comes")
    func comesLate() throws {
        // A bound socket that does not listen refuses connections and keeps the port.
        let listener = try TestListener(isOpen: false)
        let rig = try EgressRig([.to(listener)])
        try rig.feeder.feed(500, bytes: 900)
        rig.feeder.flush()
        try rig.waitUntilAssigned()
        try rig.waitUntilQuiet()
        #expect(rig.snapshot()[.inMemory] == 500)
        listener.open()
        let reader = try BackgroundReader(try listener.accept())
        try rig.finish()
        #expect(rig.compare(try reader.finish()).isNone)
        #expect(rig.log.all.contains { $0.contains("Connection refused") })
    }
}
