/// SHA-256 (FIPS 180-4, 6.2) and HMAC (RFC 2104) for the other end of a proof, short and slow.
enum Digest {
    static func sha256(_ message: [UInt8]) -> [UInt8] {
        var padded = message + [0x80]
        while padded.count % 64 != 56 { padded.append(0) }
        padded += (0..<8).map { UInt8(truncatingIfNeeded: UInt64(message.count * 8) >> UInt64(56 - 8 * $0)) }
        var state = roots(of: 8, power: 2)
        let constants = roots(of: 64, power: 3)
        for block in stride(from: 0, to: padded.count, by: 64) {
            var words = (0..<16).map { place in
                (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(padded[block + place * 4 + $1]) }
            }
            for place in 16..<64 {
                let (a, b) = (words[place - 15], words[place - 2])
                let first = turn(a, 7) ^ turn(a, 18) ^ a >> 3
                let second = turn(b, 17) ^ turn(b, 19) ^ b >> 10
                words.append(words[place - 16] &+ first &+ words[place - 7] &+ second)
            }
            var v = state
            for place in 0..<64 {
                let first = turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)
                let choice = (v[4] & v[5]) ^ (~v[4] & v[6])
                let one = v[7] &+ first &+ choice &+ constants[place] &+ words[place]
                let second = turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)
                let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2])
                v = [one &+ second &+ majority, v[0], v[1], v[2], v[3] &+ one, v[4], v[5], v[6]]
            }
            for place in 0..<8 { state[place] = state[place] &+ v[place] }
        }
        return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) } }
    }

    static func hmac(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        let padded = key + [UInt8](repeating: 0, count: 64 - key.count)
        return sha256(padded.map { $0 ^ 0x5c } + sha256(padded.map { $0 ^ 0x36 } + message))
    }

    private static func turn(_ value: UInt32, _ count: UInt32) -> UInt32 { value >> count | value << (32 - count) }

    /// The first 32 bits of the fractions of the roots of the first primes, found by whole numbers: r is the greatest
    /// with r^power <= p * 2^(32 power).
    private static func roots(of count: Int, power: Int) -> [UInt32] {
        var primes: [UInt64] = []
        var number: UInt64 = 2
        while primes.count < count {
            if !primes.contains(where: { number % $0 == 0 }) { primes.append(number) }
            number += 1
        }
        return primes.map { prime in
            var root: UInt64 = 0
            for bit in (0..<36).reversed() {
                let candidate = root | 1 << UInt64(bit)
                // At most 36 bits, so the cube fits as well.
                let product = (0..<power).reduce(UInt128(1)) { product, _ in product * UInt128(candidate) }
                if product > UInt128(prime) << UInt128(32 * power) { continue }
                root = candidate
            }
            return UInt32(truncatingIfNeeded: root)
        }
    }
}
