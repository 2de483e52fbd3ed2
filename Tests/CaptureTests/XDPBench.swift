import Capture
import Glibc
import Machine
import TestSupport
import Testing

/// One queue of an interface in a namespace under a test's control: nothing is read unless the test says so.
struct XDPBench: ~Copyable {
    let space: NetworkNamespace
    let interface: XDPInterface
    private var queue: XDPQueue
    private let counts: XDPCounts
    private let sender: FrameSender
    private var sent: UInt64 = 0

    /// Opens `right` and lets packets in that are sent from `left`.
    init(_ space: NetworkNamespace, sizes: XDPSizes, rung: XDPRung = .native, own: OwnTraffic? = nil) throws {
        let interface = try space.enter {
            let interface = try XDPInterface.open("right", rung: rung) { _ in sizes }
            if let own { interface.feed(from: own) }
            return interface
        }
        let sender = try space.enter { try FrameSender("left") }
        let queue = interface.take(0)
        try interface.startArrivals(queue)
        (self.space, self.interface, self.sender) = (space, interface, sender)
        counts = interface.counts(0)
        self.queue = queue
    }

    /// Sends frames and waits until the program has judged them all.
    mutating func send(_ frames: [[UInt8]], sourceLocation: SourceLocation = #_sourceLocation) throws {
        for frame in frames { try sender.send(frame) }
        sent += UInt64(frames.count)
        for _ in 0..<5000 where counts.redirected + counts.passed < sent { usleep(1000) }
        #expect(counts.redirected + counts.passed == sent, sourceLocation: sourceLocation)
    }

    /// Takes all that has arrived, and gives the frames back.
    mutating func read() -> [[UInt8]] {
        var frames: [[UInt8]] = []
        while let packet = queue.next() {
            frames.append(unsafe Array(UnsafeRawBufferPointer(start: packet.bytes, count: Int(packet.captured))))
            #expect(packet.captured == packet.original)
        }
        queue.release()
        return frames
    }

    /// What the kernel counted as lost.
    var losses: XDPQueue.Losses { queue.losses() }
    /// The kernel's figures about the socket.
    var statistics: XDPQueue.Statistics { queue.statistics() }
    /// Redirects that the kernel could not carry out.
    var failed: UInt64 { counts.failed }
    /// Packets with the card's stamp.
    var cardStamped: UInt64 { counts.cardStamped }
    /// What the program left to the kernel.
    var passed: UInt64 { counts.passed }

    /// Detaches the program inside the namespace.
    func stop() throws { try space.enter { interface.stopArrivals() } }
}

/// A frame of this size with a number behind its Ethernet header, of an EtherType for experiments (IEEE 802).
func numberedFrame(_ number: Int, size: Int) -> [UInt8] {
    let digits = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    let filling = (0..<size - 18).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0 / 7) }
    return PacketBuilder.ethernet(digits + filling, type: 0x88b5)
}
