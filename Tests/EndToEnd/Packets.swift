import TestSupport
import Testing

/// A packet as both ends must have it. The captured length is that of the bytes.
struct Packet: Hashable, Sendable, CustomStringConvertible {
    /// Nanoseconds since 1970.
    let time: UInt64
    /// Length on the wire.
    let original: UInt32
    let bytes: [UInt8]

    init(time: UInt64, original: UInt32, bytes: [UInt8]) {
        (self.time, self.original, self.bytes) = (time, original, bytes)
    }

    init(_ sample: SamplePacket) { self.init(time: sample.time, original: sample.original, bytes: sample.bytes) }

    /// Cut to a length, as a snapshot length does.
    func cut(to length: Int) -> Packet { Packet(time: time, original: original, bytes: Array(bytes.prefix(length))) }

    /// With a time of microseconds, as classic pcap has it.
    var inMicroseconds: Packet { Packet(time: time / 1000 * 1000, original: original, bytes: bytes) }

    var description: String { "packet at \(time), \(bytes.count) of \(original) bytes" }
}

/// Checks that two lists have the same packets, each as often as in the other, in any order.
func expectSame(
    _ found: [Packet], _ expected: [Packet], _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    func histogram(_ packets: [Packet]) -> [Packet: Int] { packets.reduce(into: [:]) { $0[$1, default: 0] += 1 } }
    let (have, want) = (histogram(found), histogram(expected))
    guard have != want else { return }
    let missing = want.filter { have[$0.key, default: 0] < $0.value }
    let foreign = have.filter { want[$0.key, default: 0] < $0.value }
    Issue.record(
        """
        \(what): \(found.count) packets, \(expected.count) expected; \(missing.count) are missing \
        \(missing.keys.sorted { $0.time < $1.time }.prefix(3)), \(foreign.count) should not be there \
        \(foreign.keys.sorted { $0.time < $1.time }.prefix(3))
        """, sourceLocation: sourceLocation)
}

/// Packets with numbers: Ethernet, IPv4, UDP to port 4711, the number first in the payload. Times are a microsecond apart
/// and end in a digit that microseconds do not have.
func numberedPackets(_ range: Range<Int>, size: Int = 200) -> [Packet] {
    range.map { number in
        let frame = numberedFrame(number, size: size)
        return Packet(
            time: 1_700_000_000_000_000_000 + UInt64(number) * 1000 + 7, original: UInt32(frame.count), bytes: frame)
    }
}

/// The frame of a numbered packet.
func numberedFrame(_ number: Int, size: Int = 200, port: UInt16 = 4711) -> [UInt8] {
    let digits = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    let padding = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: max(0, size - 46))
    let datagram = PacketBuilder.udp(digits + padding, from: 4000, to: port)
    // Longer than IP can say is what segmentation offload makes: the length is 0 then.
    let length = UInt16(exactly: 20 + datagram.count) ?? 0
    return PacketBuilder.ethernet(
        PacketBuilder.ipv4(datagram, protocolNumber: 17, totalLength: length), type: 0x0800)
}

/// The number of a numbered packet.
func number(of packet: Packet) -> Int {
    packet.bytes[42..<46].reduce(0) { $0 << 8 | Int($1) }
}

/// A classic pcap file with nanoseconds of these packets.
func captureFile(_ packets: [Packet], linkType: UInt32 = 1) -> [UInt8] {
    var file = ClassicBuilder(.nanoseconds, linkTypeWord: linkType)
    for packet in packets {
        file.packet(
            seconds: UInt32(packet.time / 1_000_000_000), fraction: UInt32(packet.time % 1_000_000_000), packet.bytes,
            original: packet.original)
    }
    return file.built("").bytes
}

/// The packets of a capture file as tshark finds them.
func packetsByTshark(_ path: String, interfacesPerSection: [Int] = [4096]) throws -> [Packet] {
    try tsharkPackets(path, interfacesPerSection: interfacesPerSection).map(Packet.init)
}

/// The packets of a capture file as tcpdump finds them.
func packetsByTcpdump(_ path: String) throws -> [Packet] {
    try withTemporaryDirectory { folder in
        try run(
            "tcpdump", ["-n", "-r", path, "--time-stamp-precision=nano", "-Z", "root", "-w", "\(folder)/out"]
        ).checked()
        return try classicPackets(readFile("\(folder)/out"))
    }
}

/// The packets of a classic pcap stream, little endian, as far as they are whole.
func classicPackets(_ bytes: [UInt8]) throws -> [Packet] {
    let fine = bytes.word(0) == 0xa1b2_3c4d
    guard fine || bytes.word(0) == 0xa1b2_c3d4 else { throw Unexpected("a classic pcap stream with another magic") }
    var packets: [Packet] = []
    var offset = 24
    while offset + 16 <= bytes.count {
        let length = Int(bytes.word(offset + 8))
        guard offset + 16 + length <= bytes.count else { break }
        packets.append(
            Packet(
                time: UInt64(bytes.word(offset)) * 1_000_000_000 + UInt64(bytes.word(offset + 4)) * (fine ? 1 : 1000),
                original: bytes.word(offset + 12), bytes: Array(bytes[offset + 16..<offset + 16 + length])))
        offset += 16 + length
    }
    return packets
}

extension [UInt8] {
    /// Four bytes, least significant first.
    func word(_ offset: Int) -> UInt32 {
        UInt32(self[offset]) | UInt32(self[offset + 1]) << 8 | UInt32(self[offset + 2]) << 16
            | UInt32(self[offset + 3]) << 24
    }

    /// Eight bytes, least significant first.
    func long(_ offset: Int) -> UInt64 { UInt64(word(offset)) | UInt64(word(offset + 4)) << 32 }

    /// Two bytes, least significant first.
    func short(_ offset: Int) -> UInt16 { UInt16(self[offset]) | UInt16(self[offset + 1]) << 8 }
}
