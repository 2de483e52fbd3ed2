internal import CMachine

/// The comment of a reassembled datagram's record: one `opt_comment` and `opt_endofopt` behind the packet.
///
/// | offset behind the padded packet | field |
/// | --- | --- |
/// | 0 | option code 1, length of the text |
/// | 4 | "reassembled from N fragments", padded with zeros to 4 |
/// | then | `opt_endofopt`: four zero bytes |
/// | then | total length of the block again |
extension Record {
    /// Length of the record of a packet with this many captured bytes, made from this many frames.
    @_noLocks @inlinable @inline(__always)
    public static func byteCount(captured: Int, fragments: UInt32) -> Int {
        byteCount(captured: captured) + (fragments > 1 ? 8 + ((27 + digits(of: fragments) + 3) & ~3) : 0)
    }

    /// Writes a record around a packet whose bytes are already where they belong, at `target + dataOffset`; of what lies
    /// behind them nothing is kept.
    ///
    /// - Parameters:
    ///   - target: room for `byteCount(captured:fragments:)` bytes, 4-byte aligned.
    ///   - fragments: from how many frames the packet was made; with more than one a comment says so.
    /// - Returns: the length of the record.
    @_noLocks
    public static func frame(
        _ target: UnsafeMutableRawPointer, time: UInt64, interface: UInt32, captured: UInt32, original: UInt32,
        fragments: UInt32
    ) -> Int {
        let padded = (Int(captured) + 3) & ~3
        let total = byteCount(captured: Int(captured), fragments: fragments)
        let length = UInt32(truncatingIfNeeded: total)
        unsafe target.storeBytes(of: 6, as: UInt32.self)
        unsafe target.storeBytes(of: length, toByteOffset: 4, as: UInt32.self)
        unsafe target.storeBytes(of: interface, toByteOffset: 8, as: UInt32.self)
        unsafe target.storeBytes(of: UInt32(truncatingIfNeeded: time >> 32), toByteOffset: 12, as: UInt32.self)
        unsafe target.storeBytes(of: UInt32(truncatingIfNeeded: time), toByteOffset: 16, as: UInt32.self)
        unsafe target.storeBytes(of: captured, toByteOffset: 20, as: UInt32.self)
        unsafe target.storeBytes(of: original, toByteOffset: 24, as: UInt32.self)
        let end = unsafe target + dataOffset + Int(captured)
        unsafe spillway_fill(end, 0, padded - Int(captured))
        if fragments > 1 { unsafe writeComment(to: target + dataOffset + padded, fragments: fragments) }
        unsafe target.storeBytes(of: length, toByteOffset: total - 4, as: UInt32.self)
        return total
    }

    @_noLocks
    private static func writeComment(to target: UnsafeMutableRawPointer, fragments: UInt32) {
        let count = digits(of: fragments)
        unsafe spillway_fill(target, 0, 8 + ((27 + count + 3) & ~3))
        unsafe target.storeBytes(of: 1, as: UInt16.self)
        unsafe target.storeBytes(of: UInt16(27 + count), toByteOffset: 2, as: UInt16.self)
        let (start, end): (StaticString, StaticString) = ("reassembled from ", " fragments")
        unsafe spillway_copy(target + 4, start.utf8Start, 17)
        unsafe spillway_copy(target + 21 + count, end.utf8Start, 10)
        var rest = fragments
        var place = 20 + count
        while place >= 21 {
            unsafe target.storeBytes(of: 0x30 + UInt8(rest % 10), toByteOffset: place, as: UInt8.self)
            rest /= 10
            place -= 1
        }
    }

    /// Decimal digits of a number.
    @_noLocks @inlinable @inline(__always)
    static func digits(of number: UInt32) -> Int {
        var (count, rest) = (1, number / 10)
        while rest > 0 {
            count &+= 1
            rest /= 10
        }
        return count
    }
}
