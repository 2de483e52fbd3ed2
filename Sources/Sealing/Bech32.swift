/// Bech32 (BIP 173) without its limit of length, as age writes keys.
enum Bech32 {
    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
    private static let generator: [UInt32] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3]

    /// The text of some bytes behind a prefix of lower-case letters.
    static func text(prefix: String, _ bytes: [UInt8]) -> String {
        let data = regrouped(bytes, from: 8, to: 5, pads: true)!
        let sum = checksum(prefix, data + [UInt8](repeating: 0, count: 6)) ^ 1
        let tail = (0..<6).map { UInt8(sum >> UInt32(5 * (5 - $0)) & 31) }
        return prefix + "1" + String(decoding: (data + tail).map { alphabet[Int($0)] }, as: UTF8.self)
    }

    /// The bytes of a text with this prefix, all in lower or all in upper case; nil if it is none.
    static func bytes(prefix: String, _ text: String) -> [UInt8]? {
        guard text == text.lowercased() || text == text.uppercased() else { return nil }
        let lower = text.lowercased()
        guard lower.hasPrefix(prefix + "1"), lower.utf8.count <= 1000 else { return nil }
        var data: [UInt8] = []
        for byte in lower.utf8.dropFirst(prefix.utf8.count + 1) {
            guard let value = alphabet.firstIndex(of: byte) else { return nil }
            data.append(UInt8(value))
        }
        guard data.count >= 6, checksum(prefix, data) == 1 else { return nil }
        return regrouped(data.dropLast(6), from: 5, to: 8, pads: false)
    }

    private static func checksum(_ prefix: String, _ data: [UInt8]) -> UInt32 {
        let expanded = prefix.utf8.map { $0 >> 5 } + [0] + prefix.utf8.map { $0 & 31 } + data
        return expanded.reduce(1) { sum, value in
            let top = sum >> 25
            let next = (sum & 0x1FF_FFFF) << 5 ^ UInt32(value)
            return (0..<5).reduce(next) { top >> UInt32($1) & 1 == 1 ? $0 ^ generator[$1] : $0 }
        }
    }

    /// Bits in groups of another size. Without padding what is left over must be few zeros.
    private static func regrouped(
        _ groups: some Sequence<UInt8>, from: UInt32, to: UInt32, pads: Bool
    ) -> [UInt8]? {
        var (value, bits): (UInt32, UInt32) = (0, 0)
        var out: [UInt8] = []
        for group in groups {
            value = (value << from | UInt32(group)) & 0xFFFF
            bits += from
            while bits >= to {
                bits -= to
                out.append(UInt8(value >> bits & (1 << to - 1)))
            }
        }
        if pads {
            if bits > 0 { out.append(UInt8(value << (to - bits) & (1 << to - 1))) }
            return out
        }
        return bits < from && value & (1 << bits - 1) == 0 ? out : nil
    }
}
