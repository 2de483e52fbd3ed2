/// CRC-32C (RFC 3720 appendix B.4), eight bytes at a time. It detects every change of up to four neighbouring
/// bytes, and every change of a few bits.
@usableFromInline
enum Checksum {
    /// Entry `k * 256 + b` is the checksum of byte `b` followed by `k` zero bytes.
    private static let table: [UInt32] = {
        var table = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var value = UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ 0x82F6_3B78 : value >> 1 }
            table[byte] = value
        }
        for entry in 256..<table.count {
            let before = table[entry - 256]
            table[entry] = (before >> 8) ^ table[Int(before & 0xff)]
        }
        return table
    }()

    /// The checksum of some bytes.
    @usableFromInline static func crc32c(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        let table = table
        var value = UInt32.max
        var position = bytes.startIndex
        while bytes.endIndex - position >= 8 {
            var next: UInt32 = 0
            for k in 0..<8 {
                let byte = bytes[position + k] ^ (k < 4 ? UInt8(truncatingIfNeeded: value >> UInt32(8 * k)) : 0)
                next ^= table[(7 - k) * 256 + Int(byte)]
            }
            value = next
            position += 8
        }
        for byte in bytes[position...] { value = (value >> 8) ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)] }
        return ~value
    }
}
