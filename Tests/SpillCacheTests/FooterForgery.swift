import TestSupport

/// Changes numbers of a sealed file's footer and makes its checksums right again (docs/format.md, "Footer").
enum FooterForgery {
    /// Numbers of 64 bits in a part of a file.
    struct Numbers {
        fileprivate(set) var bytes: [UInt8]

        /// Adds to the number at an offset.
        mutating func add(_ offset: Int, _ amount: UInt64) {
            let value = ByteReader(bytes).long(offset) &+ amount
            for place in 0..<8 { bytes[offset + place] = UInt8(truncatingIfNeeded: value >> UInt64(8 * place)) }
        }

        fileprivate mutating func set(_ offset: Int, _ value: UInt32) {
            for place in 0..<4 { bytes[offset + place] = UInt8(truncatingIfNeeded: value >> UInt32(8 * place)) }
        }
    }

    /// The file with its footer's lists and its summary changed.
    static func changed(_ file: [UInt8], _ change: (inout Numbers, inout Numbers) -> Void) -> [UInt8] {
        let length = Int(ByteReader(file).word(file.count - 4))
        var lists = Numbers(bytes: Array(file[(file.count - length)..<(file.count - 160)]))
        var summary = Numbers(bytes: Array(file.suffix(160)))
        change(&lists, &summary)
        summary.set(148, referenceCRC32C(lists.bytes))
        summary.set(152, referenceCRC32C(summary.bytes[..<152]))
        return Array(file[..<(file.count - length)]) + lists.bytes + summary.bytes
    }
}
