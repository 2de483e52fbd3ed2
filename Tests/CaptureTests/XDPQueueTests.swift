import Capture
import Glibc
import Machine
import TestSupport
import Testing

@Suite("AF_XDP queues", .serialized)
struct XDPQueueTests {
    private static let memory = 2 << 20
    /// The rungs that veth has.
    private static let rungs: [XDPRung] = [.native, .generic]

    private func frames(_ numbers: Range<Int>, size: Int = 100) -> [[UInt8]] {
        numbers.map { numberedFrame($0, size: size) }
    }

    @Test(
        "A full receive ring keeps the first packets; all others are counted, and it goes on after it was read",
        arguments: rungs)
    func receiveRingFull(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory, receiveEntries: 64), rung: rung)
            try bench.send(frames(0..<500))
            #expect(bench.read() == frames(0..<64))
            #expect(bench.losses.receiveRingFull == 436)
            #expect(bench.losses.packets == 436)
            #expect(bench.statistics.rxRingFull == 436 && bench.statistics.rxDropped == 0)
            try bench.send(frames(500..<530))
            #expect(bench.read() == frames(500..<530))
            #expect(bench.losses.packets == 436)
            try bench.stop()
        }
    }

    @Test(
        "A starved fill ring loses what finds no frame, to the packet, and recovers as often as it is starved",
        arguments: rungs)
    func fillRingEmpty(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory, filledFrames: 16), rung: rung)
            for turn in 0..<50 {
                try bench.send(frames(turn * 40..<turn * 40 + 40))
                #expect(bench.read() == frames(turn * 40..<turn * 40 + 16))
                #expect(bench.losses.fillRingEmpty == UInt64(24 * (turn + 1)))
            }
            #expect(bench.losses.packets == bench.losses.fillRingEmpty)
            #expect(bench.statistics.rxDropped == bench.losses.packets)
            #expect(bench.losses.invalidDescriptors == 0)
            try bench.stop()
        }
    }

    @Test(
        "Without several buffers a packet larger than a frame is counted as such; the largest that fits arrives",
        arguments: rungs)
    func oversize(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "3000") }
            var sizes = XDPSizes(memoryBytes: Self.memory)
            (sizes.frameBytes, sizes.takesFragments) = (2048, false)
            var bench = try XDPBench(space, sizes: sizes, rung: rung)
            #expect(!bench.interface.takesFragments && bench.interface.frameRoom == 1792)
            let fitting = frames(0..<5, size: 1792)
            try bench.send(frames(10..<17, size: 1793) + fitting + frames(20..<23, size: 2900))
            #expect(bench.read() == fitting)
            #expect(bench.losses.oversize == 10)
            #expect(bench.losses.packets == 10)
            try bench.stop()
        }
    }

    @Test(
        "A packet in several buffers that does not find enough of them is lost whole and counted once", arguments: rungs
    )
    func tooFewFrames(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "9000") }
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory, filledFrames: 4), rung: rung)
            #expect(bench.interface.takesFragments && bench.interface.frameRoom == 3840)
            // 9014 bytes are three frames: after the first packet one is left, which the small one takes.
            let large = frames(0..<3, size: 9014), small = frames(10..<12)
            try bench.send([large[0], large[1], small[0], large[2], small[1]])
            #expect(bench.read() == [large[0], small[0]])
            #expect(bench.losses.fillRingEmpty == 3)
            try bench.send([small[1], large[2]])
            #expect(bench.read() == [small[1], large[2]])
            #expect(bench.losses.packets == 3)
            try bench.stop()
        }
    }

    @Test("Every size from the smallest frame to three buffers arrives as it was sent, and in order", arguments: rungs)
    func sizes(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "9000") }
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory), rung: rung)
            var size = 18
            while size <= 9014 {
                let around = (size..<min(size + 40, 9015)).map { numberedFrame($0, size: $0) }
                try bench.send(around)
                #expect(bench.read() == around)
                // Every size near the ends of frames, and samples between.
                let isNearEnd = [3840, 7680].contains { abs(size - $0) < 100 }
                size += isNearEnd ? 40 : 41 * 7
            }
            #expect(bench.losses.packets == 0)
            try bench.stop()
        }
    }

    @Test(
        "Addresses in the fill ring that cannot be are passed over; packets that find no other frame are counted",
        arguments: rungs)
    func invalidDescriptors(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            var sizes = XDPSizes(memoryBytes: Self.memory, filledFrames: 16)
            sizes.invalidFrames = 6
            var bench = try XDPBench(space, sizes: sizes, rung: rung)
            try bench.send(frames(0..<40))
            #expect(bench.read() == frames(0..<10))
            #expect(bench.losses.packets == 30 && bench.losses.fillRingEmpty == 30)
            // The kernel counts them nowhere: rx_invalid_descs is about the receive ring (xsk_getsockopt).
            #expect(bench.statistics.rxDropped == 30 && bench.statistics.rxFillRingEmpty == 30)
            try bench.stop()
        }
    }

    @Test("A packet the kernel cannot give to the socket is counted as such, and as nothing else", arguments: rungs)
    func redirectFailed(rung: XDPRung) throws {
        try withNetworkNamespace { space in
            let foreign = try space.enter {
                try XDPInterface.open("left", rung: rung) { _ in XDPSizes(memoryBytes: Self.memory) }
            }
            let queue = foreign.take(0)
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory), rung: rung)
            #expect(bench.interface.seesErrors)
            try bench.send(frames(0..<20))
            // A socket that is bound to another interface.
            try bench.interface.startArrivals(queue)
            try bench.send(frames(20..<57))
            #expect(bench.read() == frames(0..<20))
            #expect(bench.failed == 37 && bench.losses.packets == 0)
            try bench.stop()
            foreign.stopArrivals()
        }
    }

    @Test("A card that is asked for its stamps and has none leaves the kernel's")
    func cardStamps() throws {
        try withNetworkNamespace { space in
            let interface = try space.enter {
                try XDPInterface.open("right", rung: .native, asksCard: true) { _ in XDPSizes(memoryBytes: Self.memory)
                }
            }
            #expect(interface.asksCard)
            var queue = interface.take(0)
            let counts = interface.counts(0)
            try interface.startArrivals(queue)
            let before = Clock.realtime()
            let sender = try space.enter { try FrameSender("left") }
            for frame in frames(0..<10) { try sender.send(frame) }
            for _ in 0..<5000 where counts.redirected < 10 { usleep(1000) }
            let after = Clock.realtime()
            var times: [UInt64] = []
            while let packet = queue.next() { times.append(packet.time) }
            queue.release()
            #expect(times.count == 10 && times.allSatisfy { $0 >= before && $0 <= after } && times == times.sorted())
            #expect(counts.cardStamped == 0)
            try space.enter { interface.stopArrivals() }
        }
    }
}
