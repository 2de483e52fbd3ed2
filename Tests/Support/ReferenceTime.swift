/// A pcapng time stamp in nanoseconds since 1970, worked out digit by digit as on paper: rounded down and clamped to
/// 0...UInt64.max.
///
/// - Parameters:
///   - units: the count in the file.
///   - resolution: if_tsresol: n for 10^-n, or 128 + n for 2^-n seconds.
///   - offset: if_tsoffset in seconds.
public func referenceTime(_ units: UInt64, resolution: UInt8, offset: Int64) -> UInt64 {
    let exponent = Int(resolution & 0x7f)
    var seconds: Int128
    var nanoseconds: Int128 = 0
    if resolution & 0x80 == 0 {
        // Put the decimal point `exponent` digits from the right; nine digits after it are nanoseconds.
        let digits = String(repeating: "0", count: exponent + 1) + String(units)
        seconds = Int128(digits.dropLast(exponent))!
        let fraction = (digits.suffix(exponent) + String(repeating: "0", count: 9)).prefix(9)
        nanoseconds = Int128(fraction)!
    } else {
        // Long division by 2^exponent, one decimal digit after the other.
        let divisor = UInt128(1) << UInt128(exponent)
        seconds = Int128(UInt128(units) / divisor)
        var rest = UInt128(units) % divisor
        for _ in 0..<9 {
            rest *= 10
            nanoseconds = nanoseconds * 10 + Int128(rest / divisor)
            rest %= divisor
        }
    }
    seconds += Int128(offset)
    let total = seconds * 1_000_000_000 + nanoseconds
    return UInt64(clamping: total)
}
