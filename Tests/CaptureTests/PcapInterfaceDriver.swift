import Capture
import Glibc
import TestSupport

/// A packet that was read.
struct ReadPacket: Hashable {
    let time: UInt64
    let original: UInt32
    let bytes: [UInt8]
}

/// Reads from an interface until `isEnough`, waiting with poll(2), or until it fails.
///
/// - Throws: when it takes longer than half a minute.
func read(
    _ source: inout PcapInterface, into packets: inout [ReadPacket],
    until isEnough: (borrowing PcapInterface) -> Bool
) throws {
    for _ in 0..<3000 {
        while let packet = source.next() {
            let bytes = unsafe Array(
                UnsafeRawBufferPointer(start: packet.bytes, count: Int(packet.captured)))
            packets.append(ReadPacket(time: packet.time, original: packet.original, bytes: bytes))
        }
        if isEnough(source) || source.hasFailed { return }
        var entry = pollfd(fd: source.descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&entry, 1, 10)
    }
    throw Late(read: packets.count)
}

/// Reads like the data plane, straight from the ring, until it has `count` packets.
///
/// - Throws: when it takes longer than half a minute.
func drain(_ source: inout PcapInterface, into packets: inout [ReadPacket], count: Int) throws {
    for _ in 0..<3000 where packets.count < count {
        while unsafe withUnsafeMutablePointer(to: &packets, { unsafe burst(&source, $0) }) > 0 {}
        var entry = pollfd(fd: source.descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&entry, 1, 10)
    }
    if packets.count < count { throw Late(read: packets.count) }
}

/// Compiles only because `drain` keeps the promise of the data plane.
@_noLocks
private func burst(_ source: inout PcapInterface, _ context: UnsafeMutableRawPointer) -> Int {
    unsafe source.drain(limit: 7, context: context, take)
}

@c
private func take(
    _ context: UnsafeMutableRawPointer?, _ time: UInt64, _ captured: UInt32, _ original: UInt32,
    _ bytes: UnsafeRawPointer?
) {
    let copy = unsafe Array(UnsafeRawBufferPointer(start: bytes, count: Int(captured)))
    unsafe context!.assumingMemoryBound(to: [ReadPacket].self).pointee.append(
        ReadPacket(time: time, original: original, bytes: copy))
}

/// What was waited for did not come.
struct Late: Error {
    let read: Int
}

/// An Ethernet frame with UDP in it whose payload is the number, `size` bytes in all.
func numbered(_ number: Int, size: Int, port: UInt16 = 4711, tags: [(type: UInt16, control: UInt16)] = [])
    -> [UInt8]
{
    let payload = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    let padding = [UInt8](
        repeating: UInt8(truncatingIfNeeded: number), count: max(0, size - 46 - 4 * tags.count))
    return PacketBuilder.ethernet(
        PacketBuilder.ipv4(PacketBuilder.udp(payload + padding, from: 4000, to: port), protocolNumber: 17),
        type: 0x0800, tags: tags)
}

/// The frames of a classic pcap file, little endian.
func frames(inFile path: String) throws -> [[UInt8]] {
    let bytes = try readFile(path)
    var frames: [[UInt8]] = []
    var offset = 24
    while offset + 16 <= bytes.count {
        let length = Int(bytes[offset + 8]) | Int(bytes[offset + 9]) << 8 | Int(bytes[offset + 10]) << 16
        frames.append(Array(bytes[offset + 16..<offset + 16 + length]))
        offset += 16 + length
    }
    return frames
}

/// Runs `body` on this thread without CAP_NET_RAW.
func withoutPacketSockets<Result>(_ body: () throws -> Result) throws -> Result {
    typealias Function = @convention(c) (UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> CInt
    let get = unsafe unsafeBitCast(dlsym(nil, "capget"), to: Function.self)
    let set = unsafe unsafeBitCast(dlsym(nil, "capset"), to: Function.self)
    // _LINUX_CAPABILITY_VERSION_3 and this thread; then effective, permitted, inheritable, twice.
    var header: [UInt32] = [0x2008_0522, 0]
    var sets = [UInt32](repeating: 0, count: 6)
    guard unsafe get(&header, &sets) == 0 else { throw Late(read: 0) }
    let former = sets
    sets[0] &= ~(1 << 13)
    guard unsafe set(&header, &sets) == 0 else { throw Late(read: 0) }
    defer {
        sets = former
        _ = unsafe set(&header, &sets)
    }
    return try body()
}
