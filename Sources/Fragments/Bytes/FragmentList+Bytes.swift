// The binary form, version 1:
//
//   "FRGL", version (1 byte), bytes per bound (1 byte),
//   limit, count, sum of lengths (numbers),
//   for each fragment: gap since the end before it, length - 1 (numbers), payload (its own bytes),
//   CRC-32C of all that (4 bytes, lowest first).
//
// Numbers are LEB128 in shortest form, so that a list has exactly one form.

/// What every form begins with.
@usableFromInline
enum FragmentForm {
    @inlinable static var mark: [UInt8] { Array("FRGL".utf8) }
    @inlinable static var version: UInt8 { 1 }
}

extension FragmentList where Payload: SerializablePayload {
    /// The list and its limit in a compact binary form that is the same on every machine: two to four bytes per
    /// short range. O(n)
    @inlinable public func serialized() -> [UInt8] {
        var writer = FragmentWriter()
        writer.append(contentsOf: FragmentForm.mark)
        writer.append(FragmentForm.version)
        writer.append(UInt8(Bound.bitWidth / 8))
        writer.append(number: limit)
        writer.append(number: UInt64(count))
        writer.append(number: lengthSum)
        var end: Bound = 0
        for fragment in self {
            writer.append(number: fragment.lowerBound - end)
            writer.append(number: fragment.length - 1)
            fragment.payload.write(to: &writer)
            end = fragment.upperBound
        }
        let checksum = Checksum.crc32c(writer.bytes[...])
        for k in 0..<4 { writer.append(UInt8(truncatingIfNeeded: checksum >> UInt32(8 * k))) }
        return writer.bytes
    }

    /// Reads a list from its binary form, all of which must be given.
    ///
    /// - Throws: `FragmentFormatError` for anything that `serialized()` does not write: the checksum, the order,
    ///   the limit, the sum, the normal form and the end are all checked. No memory is set aside for more
    ///   fragments than the bytes can hold.
    /// - Complexity: O(n)
    @inlinable public init(serialized bytes: [UInt8]) throws(FragmentFormatError) {
        guard bytes.count >= FragmentForm.mark.count + 2 + 4 else { throw .truncated }
        guard bytes.starts(with: FragmentForm.mark) else { throw .notAList }
        let body = bytes.dropLast(4)
        let checksum = bytes.suffix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard Checksum.crc32c(body) == checksum else { throw .checksumDiffers }
        var reader = FragmentReader(body.dropFirst(FragmentForm.mark.count))
        let readVersion = try reader.byte()
        guard readVersion == FragmentForm.version else { throw .unknownVersion(readVersion) }
        let width = try reader.byte()
        guard width == UInt8(Bound.bitWidth / 8) else { throw .otherBound(bytes: width) }
        self.init(limit: try reader.number())
        let count = try reader.number(as: UInt64.self)
        let sum = try reader.number(as: Bound.self)
        try read(count, from: &reader)
        guard lengthSum == sum else { throw .sumDiffers }
        guard reader.remaining == 0 else { throw .trailingBytes }
    }

    @inlinable mutating func read(_ count: UInt64, from reader: inout FragmentReader) throws(FragmentFormatError) {
        var end: Bound = 0
        var last: Fragment<Bound, Payload>?
        for _ in 0..<count {
            let (lower, lowerWraps) = end.addingReportingOverflow(try reader.number())
            let (inner, innerWraps) = lower.addingReportingOverflow(try reader.number())
            let (upper, upperWraps) = inner.addingReportingOverflow(1)
            if lowerWraps || innerWraps || upperWraps { throw .wrapsAround }
            if upper > limit { throw .beyondLimit }
            let fragment = Fragment(extent: Extent(lower, upper), try Payload(from: &reader))
            if let last, lower == end, Payload.mergesAlways || Payload.mayMerge(last, fragment) { throw .notNormal }
            withUniqueTree { $0.append(Extent(lower, upper), fragment.payload) }
            (end, last) = (upper, fragment)
        }
    }
}
