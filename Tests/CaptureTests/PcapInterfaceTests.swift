import Capture
import Glibc
import Machine
import Pcapng
import Synchronization
import TestSupport
import Testing

private let ring = 16 << 20

/// Live capture in a network namespace of its own. The oracles are the sender, which knows what it sent, and
/// tcpdump at the same interface.
@Suite("Live capture")
struct PcapInterfaceTests {
    @Test(
        "The same packets as tcpdump at the same interface: cut from nothing, tags in place, filtered by the kernel"
    )
    func sameAsTcpdump() throws {
        try requireTool("tcpdump")
        try withNetworkNamespace { namespace in
            try withTemporaryDirectory { folder in
                let sent = (0..<3000).map { number in
                    numbered(
                        number, size: 60 + number * 37 % 1400, tags: number % 3 == 0 ? [(0x8100, 100)] : [])
                }
                let command = namespace.inside(
                    "tcpdump",
                    [
                        "-i", "right", "-n", "-s", "0", "-B", "16384", "-c", "\(sent.count)", "-w",
                        "\(folder)/theirs",
                    ]
                        + ["udp or (vlan and udp)"])
                try withChild(command.tool, command.arguments) { tcpdump in
                    try tcpdump.waitUntil { _, errors in errors.contains("listening on") }
                    var source = try namespace.enter {
                        try PcapInterface(
                            "right", filter: "udp dst port 4711 or (vlan and udp)", ringBytes: ring)
                    }
                    #expect(
                        source.filtersInKernel == true && source.linkType == .ethernet
                            && source.name == "right")
                    try source.startArrivals()
                    let sender = try namespace.enter { try FrameSender("left") }
                    let before = Clock.realtime()
                    for (number, frame) in sent.enumerated() {
                        try sender.send(frame)
                        // ARP stands for all that the filter keeps out, of both captures.
                        if number % 100 == 0 {
                            try sender.send(
                                PacketBuilder.ethernet([UInt8](repeating: 0, count: 46), type: 0x0806))
                        }
                    }
                    let after = Clock.realtime()
                    var packets: [ReadPacket] = []
                    try read(&source, into: &packets) { $0.readCount == UInt64(sent.count) }
                    source.stopArrivals()
                    try read(&source, into: &packets) { $0.isDrained }
                    _ = try tcpdump.wait()

                    let theirs = try frames(inFile: "\(folder)/theirs")
                    #expect(theirs.count == sent.count && packets.count == sent.count)
                    #expect(Set(packets.map(\.bytes)) == Set(theirs))
                    #expect(Set(packets.map(\.bytes)) == Set(sent))
                    #expect(packets.allSatisfy { Int($0.original) == $0.bytes.count })
                    #expect(packets.allSatisfy { $0.time >= before && $0.time <= after })
                    // Nanoseconds, not microseconds with zeros behind them.
                    #expect(packets.contains { $0.time % 1000 != 0 })
                    let counts = source.statistics()
                    #expect(counts == .init(captured: UInt64(sent.count), dropped: 0))
                }
            }
        }
    }

    @Test("Drained straight from the ring: the same packets in the same order, and the same counts")
    func drainedInPlace() throws {
        try withNetworkNamespace { namespace in
            var copying = try namespace.enter { try PcapInterface("right", ringBytes: ring) }
            var inPlace = try namespace.enter { try PcapInterface("right", ringBytes: ring) }
            try copying.startArrivals()
            try inPlace.startArrivals()
            let sender = try namespace.enter { try FrameSender("left") }
            let sent = (0..<3000).map {
                numbered($0, size: 60 + $0 * 37 % 1400, tags: [(0x8100, UInt16($0))])
            }
            let before = Clock.realtime()
            for frame in sent { try sender.send(frame) }
            let after = Clock.realtime()
            var copied: [ReadPacket] = []
            var drained: [ReadPacket] = []
            try read(&copying, into: &copied) { $0.readCount == 3000 }
            try drain(&inPlace, into: &drained, count: 3000)
            inPlace.stopArrivals()
            #expect(drained.map(\.bytes) == sent)
            #expect(
                drained.map(\.bytes) == copied.map(\.bytes)
                    && drained.map(\.original) == copied.map(\.original))
            #expect(drained.allSatisfy { $0.time >= before && $0.time <= after })
            #expect(inPlace.readCount == 3000)
            let isDrained = inPlace.isDrained
            #expect(isDrained)
            #expect(inPlace.statistics() == .init(captured: 3000, dropped: 0))
        }
    }

    @Test("A reader that is too slow: what the kernel dropped and what was read add up to what was sent")
    func kernelDrops() throws {
        try withNetworkNamespace { namespace in
            var source = try namespace.enter { try PcapInterface("right", ringBytes: 1) }
            try source.startArrivals()
            let sender = try namespace.enter { try FrameSender("left") }
            let sent = (0..<4000).map { numbered($0, size: 1400) }
            var packets: [ReadPacket] = []
            // In two parts, so that the ring fills twice.
            for part in [sent.prefix(2000), sent.suffix(2000)] {
                for frame in part { try sender.send(frame) }
                while let packet = source.next() {
                    let bytes = unsafe Array(
                        UnsafeRawBufferPointer(start: packet.bytes, count: Int(packet.captured)))
                    packets.append(ReadPacket(time: packet.time, original: packet.original, bytes: bytes))
                    if packets.count % 100 == 0 { break }
                }
            }
            source.stopArrivals()
            try read(&source, into: &packets) { $0.isDrained }
            let counts = source.statistics()
            #expect(counts.captured == UInt64(sent.count))
            #expect(counts.dropped > 0)
            #expect(counts.captured == UInt64(packets.count) + counts.dropped)
            #expect(source.readCount == UInt64(packets.count))
            let distinct = Set(packets.map(\.bytes))
            #expect(distinct.count == packets.count)
            #expect(distinct.isSubset(of: Set(sent)))
        }
    }

    @Test("Stopped in the middle of a stream nothing more comes in, and every packet counted is read")
    func stopInAStream() throws {
        try withNetworkNamespace { namespace in
            for _ in 0..<10 {
                var source = try namespace.enter { try PcapInterface("right", ringBytes: 2 << 20) }
                let sender = try namespace.enter { try StreamSender("left") }
                try source.startArrivals()
                var packets: [ReadPacket] = []
                try read(&source, into: &packets) { $0.readCount > 500 }
                source.stopArrivals()
                let atStop = source.statistics()
                try read(&source, into: &packets) { $0.isDrained }
                // The stream goes on for a while.
                let sentSoFar = sender.sent
                while sender.sent < sentSoFar + 500 { usleep(1000) }
                usleep(20_000)
                #expect(source.next() == nil)
                sender.stop()
                #expect(source.statistics() == atStop)
                #expect(atStop.captured == UInt64(packets.count) + atStop.dropped)
                #expect(Set(packets.map(\.bytes)).count == packets.count)
            }
        }
    }

    @Test("Nothing is counted or read before the start")
    func beforeStart() throws {
        try withNetworkNamespace { namespace in
            var source = try namespace.enter { try PcapInterface("right", ringBytes: ring) }
            let sender = try namespace.enter { try FrameSender("left") }
            for number in 0..<100 { try sender.send(numbered(number, size: 100)) }
            #expect(source.next() == nil)
            #expect(source.statistics() == .init())
            try source.startArrivals()
            for number in 100..<200 { try sender.send(numbered(number, size: 100)) }
            var packets: [ReadPacket] = []
            try read(&source, into: &packets) { $0.readCount >= 100 }
            #expect(Set(packets.map(\.bytes)) == Set((100..<200).map { numbered($0, size: 100) }))
        }
    }

    @Test("The loopback interface shows each packet once, and the kernel's count agrees")
    func loopback() throws {
        try withNetworkNamespace { namespace in
            for filter in ["", "udp dst port 4711"] {
                var source = try namespace.enter { try PcapInterface("lo", filter: filter, ringBytes: ring) }
                #expect(source.linkType == .ethernet)
                try source.startArrivals()
                let sender = try namespace.enter { try FrameSender("lo") }
                let sent = (0..<500).map { numbered($0, size: 200) }
                for frame in sent { try sender.send(frame) }
                var packets: [ReadPacket] = []
                try read(&source, into: &packets) { $0.readCount >= 500 }
                source.stopArrivals()
                try read(&source, into: &packets) { $0.isDrained }
                #expect(packets.count == sent.count)
                #expect(Set(packets.map(\.bytes)) == Set(sent))
                #expect(source.statistics() == .init(captured: 500, dropped: 0))
            }
        }
    }

    @Test("All interfaces at once: both ends of the pair, the loopback once, each with its interface")
    func anyInterface() throws {
        try withNetworkNamespace { namespace in
            var source = try namespace.enter {
                try PcapInterface("any", filter: "udp dst port 4711", ringBytes: ring)
            }
            #expect(source.linkType == .linuxCooked2 && source.filtersInKernel && source.condition == .up)
            try source.startArrivals()
            let indices = try namespace.enter {
                ["left", "right", "lo"].map { (name: String) in unsafe UInt32(if_nametoindex(name)) }
            }
            for interface in ["left", "lo"] {
                let sender = try namespace.enter { try FrameSender(interface) }
                for number in 0..<200 {
                    try sender.send(numbered(number, size: interface == "lo" ? 100 : 300))
                    try sender.send(numbered(number, size: 100, port: 4712))
                }
            }
            var packets: [ReadPacket] = []
            try read(&source, into: &packets) { $0.readCount >= 600 }
            source.stopArrivals()
            try read(&source, into: &packets) { $0.isDrained }
            #expect(source.statistics() == .init(captured: 600, dropped: 0))
            // The cooked header, version 2: the interface stands at 4; the IP packet begins at 20.
            for (index, size) in zip(indices, [300, 300, 100]) {
                let bytes = [
                    UInt8(index >> 24), UInt8(index >> 16 & 255), UInt8(index >> 8 & 255), UInt8(index & 255),
                ]
                let seen = packets.filter { Array($0.bytes[4..<8]) == bytes }.map { Array($0.bytes[20...]) }
                #expect(seen.count == 200)
                #expect(Set(seen) == Set((0..<200).map { Array(numbered($0, size: size)[14...]) }))
            }
        }
    }
}

/// Sends numbered frames without end from a thread of its own.
private final class StreamSender {
    private let state = State()
    private var thread: PinnedThread?

    final class State: Sendable {
        let sent = Atomic<Int>(0)
        let isStopped = Atomic<Bool>(false)
    }

    /// How many frames are out.
    var sent: Int { state.sent.load(ordering: .acquiring) }

    init(_ interface: String) throws {
        let sender = try FrameSender(interface)
        thread = try PinnedThread(name: "sender", cpus: nil) { [state] in
            while !state.isStopped.load(ordering: .acquiring) {
                let number = state.sent.load(ordering: .relaxed)
                do { try sender.send(numbered(number, size: 600)) } catch { return }
                state.sent.add(1, ordering: .releasing)
            }
        }
    }

    func stop() {
        state.isStopped.store(true, ordering: .releasing)
        let running = thread.take()
        running?.join()
    }

    deinit { stop() }
}
