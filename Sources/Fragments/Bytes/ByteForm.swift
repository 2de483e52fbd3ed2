/// What is wrong with bytes that should be a list.
public enum FragmentFormatError: Error, Hashable, Sendable {
    /// The bytes end too early.
    case truncated
    /// They do not begin with the mark `FRGL`.
    case notAList
    /// The version of the form is not known.
    case unknownVersion(UInt8)
    /// The list was written for bounds of another width, in bytes.
    case otherBound(bytes: UInt8)
    /// A number has too many bits for the bound, or is not in its shortest form.
    case badNumber
    /// A range begins or ends beyond the greatest bound.
    case wrapsAround
    /// A range ends behind the limit.
    case beyondLimit
    /// Two neighbours touch that must be one.
    case notNormal
    /// The lengths do not add up to the sum that is written down.
    case sumDiffers
    /// A payload cannot be read.
    case badPayload
    /// Bytes are left over.
    case trailingBytes
    /// The checksum is that of other bytes.
    case checksumDiffers
}

/// A payload that can be part of the binary form of a list.
public protocol SerializablePayload: PayloadTraits {
    /// Adds its bytes.
    func write(to writer: inout FragmentWriter)
    /// Reads what `write` has written. Throwing, or taking other bytes than were written, makes the form corrupt.
    init(from reader: inout FragmentReader) throws(FragmentFormatError)
}

extension NoPayload: SerializablePayload {
    /// Adds nothing.
    @inlinable public func write(to writer: inout FragmentWriter) {}
    /// Reads nothing.
    @inlinable public init(from reader: inout FragmentReader) throws(FragmentFormatError) { self.init() }
}

/// Collects the bytes of a binary form.
public struct FragmentWriter {
    /// The bytes so far.
    @inlinable public var bytes: [UInt8] { stored }
    @usableFromInline var stored: [UInt8] = []

    @inlinable init() {}

    /// Adds one byte.
    @inlinable public mutating func append(_ byte: UInt8) { stored.append(byte) }

    /// Adds bytes as they are.
    @inlinable public mutating func append(contentsOf bytes: some Sequence<UInt8>) { stored.append(contentsOf: bytes) }

    /// Adds a number, seven bits per byte, the lowest first; all bytes but the last have the highest bit set
    /// (unsigned LEB128, DWARF 5 section 7.6).
    @inlinable public mutating func append(number: some FragmentBound) {
        var rest = number
        while rest > 0x7f {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }
}

/// Reads the bytes of a binary form, and never beyond them.
public struct FragmentReader {
    @usableFromInline let bytes: ArraySlice<UInt8>
    @usableFromInline var position: Int

    @inlinable init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// The number of bytes that have not been read.
    @inlinable public var remaining: Int { bytes.endIndex - position }

    /// Reads one byte.
    ///
    /// - Throws: `FragmentFormatError.truncated`.
    @inlinable public mutating func byte() throws(FragmentFormatError) -> UInt8 {
        guard position < bytes.endIndex else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    /// Reads a number as written by ``FragmentWriter/append(number:)``.
    ///
    /// - Throws: `FragmentFormatError.badNumber` when it does not fit in the type or is not in its shortest
    ///   form, `FragmentFormatError.truncated`.
    @inlinable public mutating func number<Number: FragmentBound>(
        as type: Number.Type = Number.self
    ) throws(FragmentFormatError) -> Number {
        var number: Number = 0
        var shift = 0
        while true {
            let byte = try byte()
            let bits = Number(truncatingIfNeeded: byte & 0x7f)
            guard shift < Number.bitWidth, (bits << shift) >> shift == bits else { throw .badNumber }
            number |= bits << shift
            if byte & 0x80 == 0 {
                if byte == 0, shift > 0 { throw .badNumber }
                return number
            }
            shift += 7
        }
    }
}
