import Capture
import Machine
import TestSupport
import Testing

@Suite("AF_XDP queues", .serialized)
struct XDPQueueTests {
    private static let memory = 2 << 20

    private func frames(_ numbers: Range<Int>, size: Int = 100) -> [[UInt8]] {
        numbers.map { numberedFrame($0, size: size) }
    }

    @Test("A full receive ring keeps the first packets; all others are counted, and it goes on after it was read")
    func receiveRingFull() throws {
        try withNetworkNamespace { space in
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory, receiveEntries: 64))
            try bench.send(frames(0..<500))
            #expect(bench.read() == frames(0..<64))
            #expect(bench.losses.receiveRingFull == 436)
            #expect(bench.losses.packets == 436)
            try bench.send(frames(500..<530))
            #expect(bench.read() == frames(500..<530))
            #expect(bench.losses.packets == 436)
            try bench.stop()
        }
    }

    @Test("A starved fill ring loses what finds no frame, to the packet, and recovers as often as it is starved")
    func fillRingEmpty() throws {
        try withNetworkNamespace { space in
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory, filledFrames: 16))
            for turn in 0..<200 {
                try bench.send(frames(turn * 40..<turn * 40 + 40))
                #expect(bench.read() == frames(turn * 40..<turn * 40 + 16))
                #expect(bench.losses.fillRingEmpty == UInt64(24 * (turn + 1)))
            }
            #expect(bench.losses.packets == bench.losses.fillRingEmpty)
            #expect(bench.losses.invalidDescriptors == 0)
            try bench.stop()
        }
    }

    @Test("Without several buffers a packet larger than a frame is counted as such; the largest that fits arrives")
    func oversize() throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "3000") }
            var sizes = XDPSizes(memoryBytes: Self.memory)
            (sizes.frameBytes, sizes.takesFragments) = (2048, false)
            var bench = try XDPBench(space, sizes: sizes)
            #expect(!bench.interface.takesFragments && bench.interface.frameRoom == 1792)
            let fitting = frames(0..<5, size: 1792)
            try bench.send(frames(10..<17, size: 1793) + fitting + frames(20..<23, size: 2900))
            #expect(bench.read() == fitting)
            #expect(bench.losses.oversize == 10)
            #expect(bench.losses.packets == 10)
            try bench.stop()
        }
    }

    @Test("A packet in several buffers that does not find enough of them is lost whole and counted once")
    func tooFewFrames() throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "9000") }
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory, filledFrames: 4))
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

    @Test("Every size from the smallest frame to three buffers arrives as it was sent, and in order")
    func sizes() throws {
        try withNetworkNamespace { space in
            for interface in ["left", "right"] { try space.ip("link", "set", interface, "mtu", "9000") }
            var bench = try XDPBench(space, sizes: XDPSizes(memoryBytes: Self.memory))
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
}
