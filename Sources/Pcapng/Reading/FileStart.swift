/// Telling the format of a file by its first bytes.
extension CaptureFileParser {
    /// How the numbers of a pcap file are to be read. Its byte order is `isSwapped`.
    struct ClassicLayout: BitwiseCopyable {
        /// Which of the two length fields of a record comes first.
        enum LengthOrder: UInt8 { case capturedFirst, originalFirst, smallerIsCaptured }

        var recordHeaderBytes = 16
        var nanosecondsPerUnit: UInt64 = 1000
        var lengthOrder = LengthOrder.capturedFirst
    }

    @_noLocks
    mutating func fileStart(_ input: borrowing InputWindow) -> ParserEvent {
        guard input.count >= 4 else { return shortage(input, needing: 4, or: .tooShort) }
        if input.word(at: 0) == BlockType.sectionHeader {
            mode = .blocks
            return block(input)
        }
        // Written by the other byte order, the same number is found swapped.
        let magic = input.word(at: 0)
        if takeClassicMagic(magic) { return classicHeader(input, isSwapped: false) }
        if takeClassicMagic(magic.byteSwapped) { return classicHeader(input, isSwapped: true) }
        return fail(Self.foreignFormat(UInt32(littleEndian: magic)))
    }

    /// Sets the record layout that goes with the magic number of a pcap file; false when it is none.
    @_noLocks
    private mutating func takeClassicMagic(_ magic: UInt32) -> Bool {
        switch magic {
        case 0xa1b2_c3d4: classic.nanosecondsPerUnit = 1000
        case 0xa1b2_3c4d: classic.nanosecondsPerUnit = 1
        // Alexey Kuznetzov's patch of libpcap: 8 bytes more in each record.
        case 0xa1b2_cd34: classic.recordHeaderBytes = 24
        default: return false
        }
        return true
    }

    /// Names the compression by the first four bytes, read as a little-endian number.
    @_noLocks
    private static func foreignFormat(_ first: UInt32) -> DamageReason {
        if first & 0xffff == 0x8b1f { return .compressedGzip }
        if first & 0xff_ffff == 0x68_5a42 { return .compressedBzip2 }
        switch first {
        case 0xfd2f_b528: return .compressedZstandard
        case 0x184d_2204: return .compressedLZ4
        case 0x587a_37fd: return .compressedXZ
        default: return .unknownFormat
        }
    }
}
