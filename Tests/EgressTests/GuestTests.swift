import Egress
import Glibc
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: readers on a listener", .serialized, .timeLimit(.minutes(5)))
struct GuestTests {
    /// A listening socket for the egress thread, closed with the test.
    private final class Door {
        let descriptor: Int32
        let endpoint: Endpoint

        init() throws {
            let any = Endpoint(ipv4: UInt32(0x7f00_0001).bigEndian, port: 0)
            (descriptor, endpoint) = try Listening.open(any, backlog: 16)
        }

        deinit { close(descriptor) }
    }

    /// Connects and waits until the egress thread has made the reader a guest.
    private func join(_ door: Door, _ rig: EgressRig, receiveBuffer: Int32? = nil) throws -> TestReader {
        let before = rig.snapshot()[.connects]
        let reader = try TestReader(to: door.endpoint, receiveBuffer: receiveBuffer)
        try waitUntil("the guest") { rig.snapshot()[.connects] == before + 1 }
        return reader
    }

    @Test("A guest gets everything from joining on and may leave early")
    func joinLateLeaveEarly() throws {
        let door = try Door()
        let rig = try EgressRig([.guests(at: door.descriptor)])
        try rig.feeder.feed(50, bytes: 500)
        rig.feeder.flush()
        try rig.waitUntilQuiet()
        #expect(rig.snapshot()[.assigned] == 0)
        #expect(!rig.ready.isSet)
        let early = try join(door, rig)
        #expect(rig.ready.isSet)
        try rig.feeder.feed(100, bytes: 500)
        rig.feeder.flush()
        try waitUntil("the first hundred") { rig.snapshot()[.delivered] == 100 }
        let late = try BackgroundReader(try join(door, rig))
        try rig.feeder.feed(100, bytes: 500)
        rig.feeder.flush()
        try waitUntil("both") { rig.snapshot()[.delivered] == 300 }
        early.read()
        let ofEarly = try early.stream()
        early.reset()
        try rig.feeder.feed(100, bytes: 500)
        try rig.finish()
        #expect(PacketDifference(ofEarly.packets, expected: Array(rig.fed[50..<250])).isNone)
        #expect(PacketDifference(try late.finish().packets, expected: Array(rig.fed[150...])).isNone)
        let counters = rig.snapshot()
        #expect(counters[.delivered] == 400)
        #expect(counters[.assigned] == 400 + counters[.droppedLeft])
        #expect(counters[.resent] == 0)
        #expect([counters[.connects], counters[.refusedGuests]] == [2, 0])
    }

    @Test("Guests beyond the places are turned away and counted; a place that is left is free again")
    func tooMany() throws {
        let door = try Door()
        var options = RigOptions()
        options.guests = 2
        let rig = try EgressRig([.guests(at: door.descriptor)], options)
        let first = try join(door, rig)
        let second = try BackgroundReader(try join(door, rig))
        let third = try TestReader(to: door.endpoint)
        try third.readToEnd()
        #expect(third.bytes.isEmpty)
        try waitUntil("the refusal") { rig.snapshot()[.refusedGuests] == 1 }
        first.reset()
        try rig.feeder.feed(10, bytes: 500)
        rig.feeder.flush()
        try waitUntil("the departure") {
            let now = rig.snapshot()
            return now[.assigned] > 0 && now[.inMemory] == 0
        }
        let fourth = try BackgroundReader(try join(door, rig))
        try rig.feeder.feed(10, bytes: 500)
        try rig.finish()
        #expect(rig.compare(try second.finish()).isNone)
        #expect(PacketDifference(try fourth.finish().packets, expected: Array(rig.fed[10...])).isNone)
        #expect(rig.snapshot()[.refusedGuests] == 1)
    }

    @Test(
        "A guest that falls behind what memory keeps loses exactly what is counted, and holds up nobody",
        arguments: [false, true])
    func behind(isFileInput: Bool) throws {
        let door = try Door()
        let listener = try TestListener()
        var options = RigOptions()
        (options.segments, options.isFileInput) = (4, isFileInput)
        let rig = try EgressRig([.guests(at: door.descriptor), .to(listener)], options)
        let holder = try BackgroundReader(try listener.accept())
        let slow = try join(door, rig, receiveBuffer: 8192)
        for _ in 0..<10 {
            try rig.feeder.feed(100, bytes: 5000)
            rig.feeder.flush()
            try waitUntil("the holder") { rig.snapshot(1)[.delivered] == UInt64(rig.fed.count) }
        }
        #expect(rig.snapshot(0)[.droppedBehind] > 0)
        let rest = try BackgroundReader(slow)
        try rig.finish()
        #expect(rig.compare(try holder.finish()).isNone)
        let stream = try rest.finish()
        let difference = rig.compare(stream)
        #expect(difference.repeated + difference.foreign == 0)
        #expect(rig.snapshot(0)[.droppedBehind] == UInt64(difference.missing.count))
        #expect(rig.snapshot(0)[.delivered] == UInt64(stream.packets.count))
        #expect(rig.snapshot(0).sum("dropped", scope: .destination) == UInt64(difference.missing.count))
    }

    @Test("Files as input and a listener as the only output: the first guest holds the reader")
    func firstGuestHolds() throws {
        let door = try Door()
        var options = RigOptions()
        (options.segments, options.isFileInput) = (4, true)
        let rig = try EgressRig([.guests(at: door.descriptor, holds: true)], options)
        let guest = try join(door, rig, receiveBuffer: 8192)
        var refused = 0
        while refused < 50 {
            if !rig.feeder.tryFeed(5000) {
                refused += 1
                usleep(1000)
            }
        }
        let reader = try BackgroundReader(guest)
        try rig.feeder.feed(500, bytes: 5000)
        try rig.finish()
        #expect(rig.compare(try reader.finish()).isNone)
        #expect(rig.snapshot().sum("dropped", scope: .destination) == 0)
    }

    @Test("A guest that never reads does not hold up the end")
    func neverReads() throws {
        let door = try Door()
        var options = RigOptions()
        options.drainTimeout = 300_000_000
        let rig = try EgressRig([.guests(at: door.descriptor)], options)
        let guest = try join(door, rig, receiveBuffer: 8192)
        try rig.feeder.feed(500, bytes: 2000)
        try rig.finish()
        let counters = rig.snapshot()
        #expect(counters[.delivered] + counters[.droppedBehind] == 500)
        #expect(counters[.droppedBehind] > 0)
        guest.close()
    }
}
