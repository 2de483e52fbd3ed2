import Machine
import Pcapng

/// The same records in the same places without a checksum, which Spillway itself never leaves out: what the checksum
/// costs is measured against this.
@safe struct PlainEncoder: ~Copyable {
    // Safe because `cursor` stays within the region: a batch and its trailer are kept clear of the segment's end.
    private let base: UnsafeMutableRawPointer
    private let segments: Int
    private var segment = 0
    private var cursor: UnsafeMutableRawPointer
    private var limit: UnsafeMutableRawPointer
    private var batchStart: UnsafeMutableRawPointer
    private var packets: UInt32 = 0
    private var number: UInt64 = 0
    private var times: (least: UInt64, greatest: UInt64) = (.max, 0)
    private var arrivals: (first: UInt64, last: UInt64) = (0, 0)
    private(set) var bytes = 0

    init(segments: Int) throws(SystemError) {
        let region = try MemoryRegion(byteCount: segments << 21, pages: .auto)
        unsafe base = region.base
        self.segments = segments
        unsafe (cursor, limit, batchStart) = (base, base, base)
        openBatch()
    }

    @_noLocks @inline(__always)
    mutating func append(_ descriptor: Descriptor, arrival: UInt64, _ source: UnsafeRawPointer) {
        if unsafe limit - cursor < Record.byteCount(captured: Int(descriptor.length)) { closeBatch() }
        unsafe cursor += Record.write(
            to: cursor, time: descriptor.time, interface: 0, bytes: source, captured: descriptor.length,
            original: descriptor.length)
        if packets == 0 { arrivals.first = arrival }
        arrivals.last = arrival
        packets &+= 1
        times = (min(times.least, descriptor.time), max(times.greatest, descriptor.time))
    }

    @_noLocks @inline(never)
    mutating func closeBatch() {
        guard packets > 0 else { return }
        let recordBytes = unsafe cursor - batchStart
        unsafe cursor.storeBytes(of: UInt64(BlockType.batchTrailer) | 96 << 32, as: UInt64.self)
        unsafe (cursor + 8).storeBytes(of: 1, as: UInt64.self)
        unsafe (cursor + 16).storeBytes(of: 1, as: UInt64.self)
        unsafe (cursor + 24).storeBytes(of: 2, as: UInt64.self)
        unsafe (cursor + 32).storeBytes(of: number, as: UInt64.self)
        unsafe (cursor + 40).storeBytes(of: UInt64(packets) | UInt64(packets) << 32, as: UInt64.self)
        unsafe (cursor + 48).storeBytes(of: UInt64(recordBytes), as: UInt64.self)
        unsafe (cursor + 56).storeBytes(of: times.least, as: UInt64.self)
        unsafe (cursor + 64).storeBytes(of: times.greatest, as: UInt64.self)
        unsafe (cursor + 72).storeBytes(of: arrivals.first, as: UInt64.self)
        unsafe (cursor + 80).storeBytes(of: arrivals.last, as: UInt64.self)
        unsafe (cursor + 88).storeBytes(of: UInt64(96) << 32, as: UInt64.self)
        unsafe cursor += 96
        bytes &+= recordBytes &+ 96
        number &+= 1
        packets = 0
        times = (.max, 0)
        openBatch()
    }

    /// The next batch: here, or at the start of the next segment if a whole one does not fit any more.
    @_noLocks private mutating func openBatch() {
        let segmentEnd = unsafe base + (segment &+ 1) << 21
        if unsafe segmentEnd - cursor < 64 << 10 {
            segment = segment &+ 1 == segments ? 0 : segment &+ 1
            unsafe cursor = base + segment << 21
        }
        unsafe batchStart = cursor
        unsafe limit = cursor + (64 << 10 - 96)
    }
}

@_noLocks @inline(never)
private func encode(_ encoder: inout PlainEncoder, _ frames: inout ReceiveArea, packets: Int) {
    var arrival: UInt64 = 0
    var packet = 0
    while packet < packets {
        let descriptor = frames.take()
        if packet & 31 == 0 { arrival = descriptor.time }
        unsafe encoder.append(
            descriptor, arrival: arrival, UnsafeRawPointer(frames.bytes + Int(descriptor.offset)))
        packet &+= 1
    }
    encoder.closeBatch()
}

/// Encoding without the checksum.
func measureWithoutChecksum(
    frameCount: Int, size: Int, segments: Int, warmUp: Int, packets: Int
) throws(SystemError) -> Measurement {
    var frames = try ReceiveArea(frames: frameCount, size: size)
    var encoder = try PlainEncoder(segments: segments)
    encode(&encoder, &frames, packets: warmUp)
    let before = encoder.bytes
    return Measurement {
        encode(&encoder, &frames, packets: packets)
        return encoder.bytes - before
    }
}
