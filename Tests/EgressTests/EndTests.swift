import Egress
import Glibc
import Machine
import Pcapng
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: the end of a run", .serialized, .timeLimit(.minutes(5)))
struct EndTests {
    @Test(
        "What a reader that stalls does not take within the time to drain is dropped by name",
        arguments: [false, true])
    func drainTimeout(isFileInput: Bool) throws {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        (options.drainTimeout, options.isFileInput, options.batch.packets) = (300_000_000, isFileInput, 1)
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        try rig.feeder.feed(500, bytes: 2000)
        let outcomes = try rig.finish()
        #expect(outcomes[0].wasUp)
        let counters = rig.snapshot()
        let lost = counters[isFileInput ? .droppedUnreachable : .droppedDrain]
        #expect(lost > 0)
        #expect(counters[.delivered] + lost == 500)
        #expect(counters[.resent] == 0)
        // Everything that counts as delivered is with the reader.
        try reader.readToEnd()
        #expect(UInt64(rig.compare(try reader.stream()).missing.count) <= lost)
    }

    @Test("A destination that was never there", arguments: [false, true])
    func neverThere(isFileInput: Bool) throws {
        let listener = try TestListener(isOpen: false)
        var options = RigOptions()
        (options.drainTimeout, options.isFileInput) = (200_000_000, isFileInput)
        let rig = try EgressRig([.to(listener)], options)
        try rig.feeder.feed(100, bytes: 2000)
        let outcomes = try rig.finish()
        #expect(!outcomes[0].wasUp)
        #expect(rig.snapshot()[isFileInput ? .droppedUnreachable : .droppedDrain] == 100)
        #expect(rig.snapshot()[.delivered] == 0)
        #expect(rig.snapshot()[.connects] == 0)
        withExtendedLifetime(listener) {}
    }

    @Test("Reading on is in vain when no destination ever takes anything and memory is full")
    func stopReading() throws {
        let listener = try TestListener(isOpen: false)
        var options = RigOptions()
        (options.drainTimeout, options.isFileInput, options.segments) = (200_000_000, true, 4)
        let rig = try EgressRig([.to(listener)], options)
        try waitUntil("the word to stop reading") {
            while rig.feeder.tryFeed(50_000) {}
            return rig.stopReading.isSet
        }
        try rig.finish()
        let counters = rig.snapshot()
        let fed = UInt64(rig.fed.count)
        let seen = [.assigned, .droppedUnreachable, .droppedEvicted, .droppedDrain, .delivered, .connects].map {
            counters[$0]
        }
        #expect(seen == [fed, fed, 0, 0, 0, 0])
        withExtendedLifetime(listener) {}
    }

    @Test("The abort flag ends everything as soon as the input is over, whatever is owed")
    func abort() throws {
        let listener = try TestListener(receiveBuffer: 8192)
        var options = RigOptions()
        options.drainTimeout = 600_000_000_000
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        try rig.feeder.feed(500, bytes: 2000)
        rig.abort.set()
        try rig.finish()
        let counters = rig.snapshot()
        #expect(counters[.assigned] == 500)
        #expect(counters[.droppedDrain] > 0)
        #expect(counters[.delivered] + counters[.droppedDrain] == 500)
        reader.close()
    }

    @Test("A reader that takes all batches and not the last statistics does not hold up the end of files for ever")
    func unacknowledgedStatistics() throws {
        let listener = try TestListener(receiveBuffer: 4096)
        var options = RigOptions()
        (options.drainTimeout, options.isFileInput) = (300_000_000, true)
        let rig = try EgressRig([.to(listener)], options)
        // So many that their statistics are more than the reader's buffer holds, and not more than the sender's.
        for number in 1..<120 { _ = rig.registry.register(EgressRig.interface("eth\(number)")) }
        let reader = try listener.accept()
        try rig.feeder.feed(1, bytes: 1000)
        rig.feeder.flush()
        try reader.read(batches: 1)
        try rig.finish(seconds: 10)
        #expect(rig.snapshot()[.delivered] == 1)
        reader.close()
    }

    @Test("A reader that goes on reading slowly gets everything, however long after the time to drain")
    func slowButAlive() throws {
        let listener = try TestListener(receiveBuffer: 65536)
        var options = RigOptions()
        (options.drainTimeout, options.isFileInput) = (1_500_000_000, true)
        let rig = try EgressRig([.to(listener)], options)
        let reader = try listener.accept()
        try rig.feeder.feed(600, bytes: 2000)
        rig.endInput()
        while !reader.isAtEnd {
            reader.read(atMost: 8000, milliseconds: 1000)
            usleep(20_000)
        }
        try rig.finish()
        #expect(rig.compare(try reader.stream()).isNone)
        #expect(rig.snapshot().sum("dropped", scope: .destination) == 0)
    }
}
