internal import CMachine

/// The classic capture format for readers that know no other (Arkime, Zeek): a 24-byte header, then records of 16 bytes
/// and data (draft-ietf-opsawg-pcap).
public enum ClassicPcap {
    /// The resolution of a stream's times.
    public enum Resolution: Sendable {
        case microseconds, nanoseconds
    }

    /// Longest packet such readers take; longer ones are cut and keep their true length.
    public static var maximumCaptured: Int { @_noLocks @inlinable get { 65535 } }
    /// Bytes before each packet.
    public static var recordHeader: Int { @_noLocks @inlinable get { 16 } }

    /// The file header, little endian, version 2.4.
    public static func header(_ resolution: Resolution, linkType: UInt16) -> [UInt8] {
        var out = BlockBuilder()
        out.append(UInt32(resolution == .microseconds ? 0xA1B2_C3D4 : 0xA1B2_3C4D))
        out.append(UInt16(2))
        out.append(UInt16(4))
        out.append(UInt64(0))
        out.append(UInt32(maximumCaptured))
        out.append(UInt32(linkType))
        return out.bytes
    }

    /// Writes one record in the classic form and returns its length.
    ///
    /// - Parameter target: room for 16 bytes and the packet, at most 65535 bytes of it.
    @_noLocks public static func write(
        _ record: RecordView, nanoseconds: Bool, to target: UnsafeMutableRawPointer
    ) -> Int {
        let time = record.time
        let captured = min(record.captured, maximumCaptured)
        let fraction = time % 1_000_000_000
        unsafe target.storeBytes(of: UInt32(truncatingIfNeeded: time / 1_000_000_000), as: UInt32.self)
        unsafe (target + 4).storeBytes(
            of: UInt32(truncatingIfNeeded: nanoseconds ? fraction : fraction / 1000), as: UInt32.self)
        unsafe (target + 8).storeBytes(of: UInt32(truncatingIfNeeded: captured), as: UInt32.self)
        unsafe (target + 12).storeBytes(of: record.original, as: UInt32.self)
        unsafe spillway_copy(target + 16, record.data, captured)
        return 16 + captured
    }
}
