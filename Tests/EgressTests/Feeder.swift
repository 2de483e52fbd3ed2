import Glibc
import Machine
import Pcapng
import SegmentPool
import TestSupport

/// A worker in the hands of a test: makes packets that are all different and remembers them.
final class Feeder {
    private var writer: BatchWriter
    private let worker: Int
    private let utcOffset: UInt64
    private var lastArrival: UInt64 = 0
    /// What was encoded, in its order.
    private(set) var fed: [SamplePacket] = []

    init(_ writer: consuming BatchWriter, worker: Int, utcOffset: UInt64) {
        self.writer = writer
        self.worker = worker
        self.utcOffset = utcOffset
    }

    /// Encodes a packet if there is a segment for it.
    func tryFeed(_ count: Int, interface: UInt32 = 0) -> Bool {
        let number = fed.count
        let time = 1_700_000_000_000_000_000 + UInt64(worker) << 40 + UInt64(number) * 1001
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number &* 37 &+ worker), count: count)
        for place in 0..<min(count, 8) { bytes[place] = UInt8(truncatingIfNeeded: number >> (8 * place)) }
        let arrival = max(lastArrival + 1, Clock.monotonic() &+ utcOffset)
        let original = UInt32(count + number % 3)
        let fits = unsafe bytes.withUnsafeBytes {
            unsafe writer.append(
                time: time, arrival: arrival, interface: interface, bytes: $0.baseAddress!, captured: UInt32(count),
                original: original)
        }
        guard fits else { return false }
        lastArrival = arrival
        fed.append(SamplePacket(time: time, original: original, interface: interface, bytes: bytes))
        return true
    }

    /// Encodes packets, waiting for segments.
    func feed(_ packets: Int = 1, bytes: Int, interface: UInt32 = 0) throws {
        for _ in 0..<packets {
            if tryFeed(bytes, interface: interface) { continue }
            try waitUntil("a segment") { tryFeed(bytes, interface: interface) }
        }
    }

    /// Closes the open batch.
    func flush() {
        writer.flush()
        writer.announce(urgently: true)
    }

    /// Leaves the segment.
    func seal() {
        writer.seal()
        writer.announce(urgently: true)
    }
}
