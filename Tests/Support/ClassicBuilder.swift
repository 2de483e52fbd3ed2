/// Writes classic pcap files of every kind, independently of the code under test.
public struct ClassicBuilder: Sendable {
    /// The number at the start of the file, which says what the records look like.
    public enum Magic: UInt32, Sendable, CaseIterable {
        /// Microseconds.
        case microseconds = 0xa1b2_c3d4
        /// Nanoseconds.
        case nanoseconds = 0xa1b2_3c4d
        /// Microseconds and records with 8 bytes more (Kuznetzov's patch).
        case modified = 0xa1b2_cd34
    }

    private let magic: Magic
    private let writesOriginalFirst: Bool
    private var writer: ByteWriter
    private var packets: [SamplePacket] = []
    private var ends: [Int] = []

    /// Begins a file.
    ///
    /// - Parameters:
    ///   - linkTypeWord: the link type and the bits above it.
    ///   - originalFirst: writes the two lengths of each record in the order of the first versions.
    public init(
        _ magic: Magic = .microseconds, order: ByteOrder = .little, version: (UInt16, UInt16) = (2, 4),
        snapLength: UInt32 = 262_144, linkTypeWord: UInt32 = 1, originalFirst: Bool = false
    ) {
        self.magic = magic
        writesOriginalFirst = originalFirst
        writer = ByteWriter(order)
        writer.number(magic.rawValue)
        writer.number(version.0)
        writer.number(version.1)
        writer.number(UInt64(0))
        writer.number(snapLength)
        writer.number(linkTypeWord)
    }

    /// Adds a packet. `fraction` counts the file's own units.
    public mutating func packet(
        seconds: UInt32, fraction: UInt32, _ bytes: [UInt8], original: UInt32? = nil
    ) {
        let captured = UInt32(bytes.count)
        let original = original ?? captured
        writer.number(seconds)
        writer.number(fraction)
        writer.number(writesOriginalFirst ? original : captured)
        writer.number(writesOriginalFirst ? captured : original)
        // Interface index, protocol and packet type, which no reader cares about.
        if magic == .modified { writer.raw([2, 0, 0, 0, 0, 8, 4, 0]) }
        writer.raw(bytes)
        let unit: UInt64 = magic == .nanoseconds ? 1 : 1000
        packets.append(
            SamplePacket(
                time: UInt64(seconds) * 1_000_000_000 + UInt64(fraction) * unit, original: original,
                interface: 0, bytes: bytes))
        ends.append(writer.bytes.count)
    }

    /// The file so far.
    public func built(_ name: String, tsharkDiffers: String? = nil) -> BuiltCapture {
        BuiltCapture(
            name: name, bytes: writer.bytes, packets: packets, packetEnds: ends,
            boundaries: [0, 24] + ends, interfacesPerSection: [1], tsharkDiffers: tsharkDiffers)
    }
}
