import Machine
import Pcapng
import SegmentPool

/// A batch writer whose full segments come back at once, as if a destination without delay took them.
struct WriterRun: ~Copyable {
    private var writer: BatchWriter
    private var free: RingProducer<UInt32>
    private let segments: Int
    let counters: Counters

    private init(
        writer: consuming BatchWriter, free: consuming RingProducer<UInt32>, segments: Int, counters: Counters
    ) {
        self.writer = writer
        self.free = free
        self.segments = segments
        self.counters = counters
    }

    static func make(segments: Int) throws(SystemError) -> WriterRun {
        let pool = try SegmentPool(segmentBytes: 2 << 20, count: segments, pages: .auto, node: nil)
        // Room for all segments at once; a ring's capacity is a power of two.
        let ring = try SPSCRing<UInt32>(capacity: 1 << (Int.bitWidth - segments.leadingZeroBitCount))
        let registry = try InterfaceRegistry()
        _ = registry.register(StreamBlocks.interface(InterfaceLabel(linkType: 1)))
        let counters = try Counters()
        let writer = BatchWriter(
            pool: pool, free: ring.makeConsumer(), limits: BatchLimits(time: .max), run: RunIdentity(low: 1, high: 2),
            worker: 0, interfaces: registry.view, counters: counters, wake: try WakeSignal())
        return WriterRun(writer: writer, free: ring.makeProducer(), segments: segments, counters: counters)
    }

    /// Gives all segments to the writer, which has sealed the last of them.
    @_noLocks private mutating func refill() {
        var segment = 0
        while segment < segments {
            precondition(free.push(UInt32(truncatingIfNeeded: segment)), "the ring has room for all segments")
            segment &+= 1
        }
        free.publish()
    }

    // Not inlined, as in C: the loop has the registers for itself.
    @_noLocks @inline(never)
    mutating func encode(_ frames: inout ReceiveArea, packets: Int) {
        var arrival: UInt64 = 0
        var packet = 0
        while packet < packets {
            let descriptor = frames.take()
            // The clock is read once per burst; here its place is taken by the packet's time.
            if packet & 31 == 0 { arrival = descriptor.time }
            let bytes = unsafe UnsafeRawPointer(frames.bytes + Int(descriptor.offset))
            while unsafe !writer.append(
                time: descriptor.time, arrival: arrival, interface: 0, bytes: bytes, captured: descriptor.length,
                original: descriptor.length)
            {
                refill()
            }
            packet &+= 1
        }
        writer.flush()
    }
}

/// Encoding as the worker does it.
func measureBatchWriter(
    frameCount: Int, size: Int, segments: Int, warmUp: Int, packets: Int
) throws(SystemError) -> Measurement {
    var frames = try ReceiveArea(frames: frameCount, size: size)
    var run = try WriterRun.make(segments: segments)
    run.encode(&frames, packets: warmUp)
    let before = run.counters.value(.encodedBytes)
    return Measurement {
        run.encode(&frames, packets: packets)
        return Int(run.counters.value(.encodedBytes) - before)
    }
}
