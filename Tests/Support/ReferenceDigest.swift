/// SHA-256 from its definition (FIPS 180-4, section 6.2), for tests that must not ask the library that the product uses.
public func referenceSHA256(_ message: [UInt8]) -> [UInt8] {
    // Fractional parts of the square and cube roots of the first primes (sections 4.2.2 and 5.3.3), computed.
    let primes = (2...311).filter { number in !(2..<number).contains { number % $0 == 0 } }
    func fraction(_ root: Double) -> UInt32 { UInt32((root - root.rounded(.down)) * 4_294_967_296) }
    var hash = primes.prefix(8).map { fraction(Double($0).squareRoot()) }
    let constants = primes.map { fraction(cubeRoot(Double($0))) }
    var padded = message + [0x80]
    while padded.count % 64 != 56 { padded.append(0) }
    padded += (0..<8).map { UInt8(truncatingIfNeeded: (message.count * 8) >> (56 - 8 * $0)) }
    func rotate(_ word: UInt32, _ bits: UInt32) -> UInt32 { word >> bits | word << (32 - bits) }
    for start in stride(from: 0, to: padded.count, by: 64) {
        var schedule = (0..<16).map { word in
            (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(padded[start + 4 * word + $1]) }
        }
        for t in 16..<64 {
            let (late, early) = (schedule[t - 2], schedule[t - 15])
            let one = rotate(late, 17) ^ rotate(late, 19) ^ late >> 10
            let zero = rotate(early, 7) ^ rotate(early, 18) ^ early >> 3
            schedule.append(one &+ schedule[t - 7] &+ zero &+ schedule[t - 16])
        }
        var v = hash
        for t in 0..<64 {
            let choice = v[4] & v[5] ^ ~v[4] & v[6]
            let majority = v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2]
            let big1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)
            let big0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)
            let first = v[7] &+ big1 &+ choice &+ constants[t] &+ schedule[t]
            v = [first &+ big0 &+ majority, v[0], v[1], v[2], v[3] &+ first, v[4], v[5], v[6]]
        }
        for place in 0..<8 { hash[place] &+= v[place] }
    }
    return hash.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) } }
}

/// HMAC-SHA256 from its definition (RFC 2104) for keys of at most 64 bytes.
public func referenceHMAC(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    let padded = key + [UInt8](repeating: 0, count: 64 - key.count)
    return referenceSHA256(padded.map { $0 ^ 0x5c } + referenceSHA256(padded.map { $0 ^ 0x36 } + message))
}

/// By Newton's method, to the last bit that counts.
private func cubeRoot(_ number: Double) -> Double {
    var root = number / 2
    for _ in 0..<200 { root -= (root * root * root - number) / (3 * root * root) }
    return root
}
