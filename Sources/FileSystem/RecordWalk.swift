internal import CFuse
import Glibc

/// What stands in the way of reading a file further.
enum WalkStop: UInt8, Equatable, BitwiseCopyable {
    case nothing
    /// Zeros where a record should begin: space that was reserved and not written yet.
    case zeros
    /// A length that cannot be right.
    case damage
    /// A packet longer than the stream's header allows.
    case tooLong
}

/// Follows the boundaries of records or blocks while their bytes pass by, and changes record headers on the way.
///
/// Only headers are looked at; the packets in between are jumped over. What follows: the end of the file can be told from
/// the middle of a record, and reserved space from data.
struct RecordWalk: BitwiseCopyable {
    /// Where the next record begins, in bytes from the start of the file.
    private(set) var position: UInt64
    /// Why `position` is not passed.
    private(set) var stop = WalkStop.nothing
    /// Whether reading jumped ahead of `position`, so that boundaries are not known any more.
    private(set) var isLost = false
    /// Where the record before `position` begins.
    private(set) var lastStart: UInt64
    /// Where the bytes begin that the walk goes over next; kept here for those who go back to an earlier state.
    var cursor: UInt64 = 0

    private let isClassic: Bool
    private var isSwapped: Bool
    private let headerBytes: Int
    private let conversion: Conversion
    private let isRaw: Bool
    private let lengthMax: UInt32

    /// Longer blocks of pcapng are taken for damage, and longer packets of a classic file, unless its header allows them.
    static var blockMax: UInt32 { @_noLocks get { 64 << 20 } }

    /// From a record boundary on, usually the end of the file's header.
    init(_ format: CaptureFormat, from position: UInt64, _ conversion: Conversion) {
        self.position = position
        lastStart = position
        isClassic = format.container == .classic
        isSwapped = format.isSwapped
        // Of a block type, length and the byte order of a section are enough, but a change needs the packet's lengths.
        headerBytes = isClassic ? format.recordHeader : conversion.isIdentity ? 12 : 28
        self.conversion = conversion
        isRaw = conversion.isIdentity
        lengthMax = isClassic ? max(262_144, min(format.snapLength, 128 << 20)) : Self.blockMax
    }

    /// Looks at bytes that were read and says how many of them may be given on.
    ///
    /// - Parameters:
    ///   - bytes: the content of the file from `offset` on. Record headers in it are changed.
    ///   - file: where they come from.
    @_noLocks
    mutating func advance(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64, file: Int32) -> Int {
        let end = offset &+ UInt64(bytes.count)
        if isLost || end <= position { return bytes.count }
        if offset > position {
            switch catchUp(to: offset, file) {
            case .there: break
            case .insideHeader, .lost: return bytes.count
            case .halted: return 0
            }
        }
        stop = .nothing
        while position < end {
            let at = Int(truncatingIfNeeded: position &- offset)
            let available = bytes.count &- at
            let header = unsafe bytes.baseAddress! + at
            guard unsafe available >= neededBytes(header, available) else {
                // Only a part of a header: it can go if nothing in it is to be changed and all of it would.
                return isRaw && isRecord(file) ? bytes.count : at
            }
            guard let length = unsafe recordLength(header) else { return at }
            lastStart = position
            position = position &+ UInt64(length)
        }
        return bytes.count
    }

    /// What is known of the end of a file of this many bytes.
    enum Ending { case boundary, insideRecord, unknown }

    func ending(at size: UInt64) -> Ending {
        if isLost { return .unknown }
        return position == size ? .boundary : .insideRecord
    }

    /// Where a walk over a gap ended.
    private enum Arrival {
        case there
        /// The bytes belong to a header of which not all is in the file yet, and whose beginning was given on before.
        case insideHeader
        /// Something is in the way: see `stop`.
        case halted
        /// Boundaries are not known any more.
        case lost
    }

    /// Goes on record by record, reading one header each, over a small gap. A reader that jumped far ahead loses the
    /// boundaries instead.
    @_noLocks
    private mutating func catchUp(to offset: UInt64, _ file: Int32) -> Arrival {
        if offset &- position > 1 << 16 || !isRaw {
            isLost = true
            return .lost
        }
        var space: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        while position < offset {
            let arrival: Arrival = unsafe withUnsafeMutableBytes(of: &space) { buffer in
                let count = unsafe spillway_pread(file, buffer.baseAddress!, headerBytes, position)
                guard count == headerBytes else {
                    return position &+ UInt64(max(0, count)) > offset ? .insideHeader : .lost
                }
                guard let length = unsafe recordLength(buffer.baseAddress!) else { return .halted }
                lastStart = position
                position = position &+ UInt64(length)
                return .there
            }
            guard case .there = arrival else {
                if case .lost = arrival { isLost = true }
                return arrival
            }
        }
        return .there
    }

    /// Whether a record begins at `position`, by what the file has there; of one that is not all there yet, whether it is no
    /// reserved space. A header that begins with zeros is no rarity: every 256th second does in a little-endian file. The
    /// walk stays before it, so that a file that ends there for its reader is completed by what its header lacks.
    @_noLocks
    private mutating func isRecord(_ file: Int32) -> Bool {
        var space: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        return unsafe withUnsafeMutableBytes(of: &space) { buffer in
            let header = buffer.baseAddress!
            let count = unsafe spillway_pread(file, header, headerBytes, position)
            guard count == headerBytes else { return unsafe count > 0 && !Self.isZero(header, count) }
            return unsafe recordLength(header) != nil
        }
    }

    /// How many bytes of the header decide.
    @_noLocks
    private func neededBytes(_ header: UnsafeMutableRawPointer, _ available: Int) -> Int {
        if isClassic || isRaw || available < 12 { return headerBytes }
        // Short blocks have no packet and are not longer than this.
        let length = unsafe word(header, 4)
        return length < UInt32(headerBytes) ? 12 : headerBytes
    }

    /// The length of the record that begins here, with its header changed as it must be; nil with `stop` set.
    @_noLocks
    private mutating func recordLength(_ header: UnsafeMutableRawPointer) -> UInt32? {
        unsafe isClassic ? classicLength(header) : blockLength(header)
    }

    @_noLocks
    private mutating func classicLength(_ header: UnsafeMutableRawPointer) -> UInt32? {
        let (seconds, fraction) = unsafe (word(header, 0), word(header, 4))
        let (captured, original) = unsafe (word(header, 8), word(header, 12))
        if seconds | fraction | captured | original == 0 { return halt(.zeros) }
        if captured > lengthMax { return halt(.damage) }
        if captured > conversion.capturedMax { return halt(.tooLong) }
        if conversion.scalesToNanoseconds || conversion.swapsOrder {
            let scaled = conversion.scalesToNanoseconds ? fraction &* 1000 : fraction
            let swaps = isSwapped != conversion.swapsOrder
            unsafe store(seconds, header, 0, swaps)
            unsafe store(scaled, header, 4, swaps)
            unsafe store(captured, header, 8, swaps)
            unsafe store(original, header, 12, swaps)
            if headerBytes == 24 && conversion.swapsOrder {
                unsafe store(word(header, 16), header, 16, swaps)
            }
        }
        return UInt32(headerBytes) &+ captured
    }

    @_noLocks
    private mutating func blockLength(_ header: UnsafeMutableRawPointer) -> UInt32? {
        let type = unsafe word(header, 0)
        if type == 0x0a0d_0d0a {
            let magic = unsafe header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            guard magic == 0x1a2b_3c4d || magic == 0x4d3c_2b1a else { return halt(magic == 0 ? .zeros : .damage) }
            isSwapped = magic != 0x1a2b_3c4d
        }
        let length = unsafe word(header, 4)
        if type == 0 && length == 0 { return halt(.zeros) }
        guard length >= 12, length & 3 == 0, length <= lengthMax else { return halt(.damage) }
        if type == 1 && length >= 20 {
            if let linkType = conversion.linkType {
                unsafe header.storeBytes(
                    of: isSwapped ? linkType.byteSwapped : linkType, toByteOffset: 8, as: UInt16.self)
            }
            if let snapLength = conversion.snapLength { unsafe store(snapLength, header, 12, isSwapped) }
        } else if type == 6 && length >= 32 && conversion.capturedMax != .max {
            if unsafe word(header, 20) > conversion.capturedMax { return halt(.tooLong) }
        }
        return length
    }

    @_noLocks
    private mutating func halt(_ reason: WalkStop) -> UInt32? {
        stop = reason
        return nil
    }

    @_noLocks @inline(__always)
    private func word(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UInt32 {
        let value = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return isSwapped ? value.byteSwapped : value
    }

    @_noLocks @inline(__always)
    private func store(_ value: UInt32, _ base: UnsafeMutableRawPointer, _ offset: Int, _ swaps: Bool) {
        unsafe base.storeBytes(of: swaps ? value.byteSwapped : value, toByteOffset: offset, as: UInt32.self)
    }

    @_noLocks
    private static func isZero(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        for index in 0..<count where unsafe bytes.load(fromByteOffset: index, as: UInt8.self) != 0 { return false }
        return true
    }
}
