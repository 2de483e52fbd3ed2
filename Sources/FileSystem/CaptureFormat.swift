import Glibc
import Machine
import Pcapng

/// What the beginning of a capture file says about the way its records are written.
struct CaptureFormat: Equatable {
    enum Container: Equatable { case classic, pcapng }

    /// What the first bytes of a file tell.
    enum Probe {
        /// Too few bytes so far.
        case undetermined
        case capture(CaptureFormat)
        /// No capture file, or none of a kind that can be followed; the reason for people.
        case foreign(String)
    }

    var container: Container
    /// Whether numbers stand in the other byte order than this machine's.
    var isSwapped: Bool
    /// Classic: whether the fraction of a second is counted in nanoseconds.
    var isNanoseconds = false
    /// Classic: the bytes of a record's header, 16, or 24 in Kuznetzov's patched format.
    var recordHeader = 16
    /// Classic: the whole link type word. pcapng: the link type of the first interface.
    var linkType: UInt32
    /// The snapshot length of the header, or of the first interface.
    var snapLength: UInt32
    /// Bytes before the first record: the header of a classic file, or for pcapng the section header and the interfaces
    /// that follow it.
    var headerBytes: Int
    /// pcapng: whether all interfaces at the beginning have that link type and that snapshot length.
    var isUniform = true

    /// The bytes at the beginning that are enough for every decision here.
    static let probeBytes = 65_536

    /// Looks at the beginning of an open file.
    static func probe(_ file: Int32) -> Probe {
        unsafe withUnsafeTemporaryAllocation(byteCount: probeBytes, alignment: 16) { buffer in
            let count = unsafe pread(file, buffer.baseAddress, buffer.count, 0)
            guard count >= 0 else { return .foreign("it cannot be read: \(SystemError("pread").reason)") }
            return unsafe probe(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// Looks at the beginning of a file.
    static func probe(_ bytes: UnsafeRawBufferPointer) -> Probe {
        guard bytes.count >= 4 else { return .undetermined }
        let magic = unsafe bytes.loadUnaligned(as: UInt32.self)
        if magic == 0x0a0d_0d0a { return unsafe pcapng(bytes) }
        for isSwapped in [false, true] {
            let number = isSwapped ? magic.byteSwapped : magic
            guard [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34].contains(number) else { continue }
            guard bytes.count >= 24 else { return .undetermined }
            return unsafe classic(bytes, magic: number, isSwapped: isSwapped)
        }
        // A file that is made larger before it is written begins with zeros.
        if unsafe magic == 0 && bytes.allSatisfy({ $0 == 0 }) { return .undetermined }
        return .foreign("it is neither a pcap nor a pcapng file")
    }

    private static func classic(_ bytes: UnsafeRawBufferPointer, magic: UInt32, isSwapped: Bool) -> Probe {
        func word(_ offset: Int) -> UInt32 {
            let value = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            return isSwapped ? value.byteSwapped : value
        }
        let version = (isSwapped ? word(4) >> 16 : word(4) & 0xffff, isSwapped ? word(4) & 0xffff : word(4) >> 16)
        guard version == (2, 4) else {
            return .foreign("its version \(version.0).\(version.1) of the pcap format is not followed, only 2.4")
        }
        return .capture(
            CaptureFormat(
                container: .classic, isSwapped: isSwapped, isNanoseconds: magic == 0xa1b2_3c4d,
                recordHeader: magic == 0xa1b2_cd34 ? 24 : 16, linkType: word(20), snapLength: word(16),
                headerBytes: 24))
    }

    /// The section header and the interfaces right behind it. With no interface yet more bytes are waited for.
    private static func pcapng(_ bytes: UnsafeRawBufferPointer) -> Probe {
        guard bytes.count >= 12 else { return .undetermined }
        let order = unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        guard order == 0x1a2b_3c4d || order == 0x4d3c_2b1a else {
            // All zeros behind the first word: not written yet.
            return order == 0 ? .undetermined : .foreign("its section header has no byte-order magic")
        }
        var format = CaptureFormat(
            container: .pcapng, isSwapped: order != 0x1a2b_3c4d, linkType: .max, snapLength: 0, headerBytes: 0)
        var offset = 0
        while offset + 12 <= bytes.count {
            func word(_ at: Int) -> UInt32 {
                let value = unsafe bytes.loadUnaligned(fromByteOffset: offset + at, as: UInt32.self)
                return format.isSwapped ? value.byteSwapped : value
            }
            let (type, length) = (word(0), Int(word(4)))
            let isHeader = offset == 0 && type == 0x0a0d_0d0a
            guard isHeader || type == 1, length >= 20, length % 4 == 0 else { break }
            guard offset + length <= bytes.count else {
                return length > probeBytes ? .foreign("the first blocks of it are too long") : .undetermined
            }
            if type == 1 {
                let (linkType, snapLength) = (format.isSwapped ? word(8) >> 16 : word(8) & 0xffff, word(12))
                if format.linkType == .max {
                    (format.linkType, format.snapLength) = (linkType, snapLength)
                } else if linkType != format.linkType || snapLength != format.snapLength {
                    format.isUniform = false
                }
            }
            offset += length
        }
        format.headerBytes = offset
        if offset == 0 { return .foreign("its section header is malformed") }
        return .capture(format)
    }

    /// The time of the first packet, in nanoseconds since 1970; nil if there is none yet.
    static func firstPacketTime(_ file: Int32) -> UInt64? {
        unsafe withUnsafeTemporaryAllocation(byteCount: CaptureFileParser.windowBytesMax, alignment: 16) { buffer in
            let count = unsafe pread(file, buffer.baseAddress, buffer.count, 0)
            guard count > 0 else { return nil }
            var parser = CaptureFileParser()
            var offset = 0
            while offset < count {
                let window = unsafe UnsafeRawBufferPointer(rebasing: buffer[offset..<count])
                switch unsafe parser.step(window, atEnd: false) {
                case .packet: return parser.packet.time
                case .interface: _ = unsafe parser.takeInterface(window)
                case .skipped: break
                case .needMore, .damaged, .end: return nil
                }
                offset += parser.consumed
            }
            return nil
        }
    }
}
