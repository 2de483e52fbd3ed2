/// Base64 without padding, in the one canonical form (RFC 4648, section 4), as age's header has it.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        var (value, bits): (UInt32, UInt32) = (0, 0)
        var out: [UInt8] = []
        for byte in bytes {
            value = (value << 8 | UInt32(byte)) & 0xFFFF
            bits += 8
            while bits >= 6 {
                bits -= 6
                out.append(alphabet[Int(value >> bits & 63)])
            }
        }
        if bits > 0 { out.append(alphabet[Int(value << (6 - bits) & 63)]) }
        return String(decoding: out, as: UTF8.self)
    }

    /// Nil for anything that `text` would not have written.
    static func bytes(_ text: some Collection<UInt8>) -> [UInt8]? {
        var (value, bits): (UInt32, UInt32) = (0, 0)
        var out: [UInt8] = []
        for character in text {
            guard let group = alphabet.firstIndex(of: character) else { return nil }
            value = (value << 6 | UInt32(group)) & 0xFFFF
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(value >> bits & 255))
            }
        }
        return bits < 6 && value & (1 << bits - 1) == 0 ? out : nil
    }
}
