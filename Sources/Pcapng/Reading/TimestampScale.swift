/// Turns the time stamps of one interface into nanoseconds since 1970.
///
/// A time stamp counts units of 10^-n or 2^-n seconds (pcapng option if_tsresol), from a start that is a whole number
/// of seconds away from 1970 (if_tsoffset). No value of the three can overflow here: the exact result is rounded down
/// to nanoseconds and clamped to 0...UInt64.max.
struct TimestampScale: BitwiseCopyable {
    /// Nanoseconds per unit where that alone is the conversion, which is the usual case; otherwise 0.
    private let simpleMultiplier: UInt64
    private let multiplier: UInt64
    private let divisor: UInt64
    private let shift: UInt8
    private let offsetSeconds: Int64

    /// - Parameters:
    ///   - resolution: the value of if_tsresol: the low 7 bits are n, the top bit chooses 2^-n instead of 10^-n.
    ///   - offsetSeconds: the value of if_tsoffset.
    @_noLocks
    init(resolution: UInt8, offsetSeconds: Int64) {
        let exponent = resolution & 0x7f
        let isBinary = resolution & 0x80 != 0
        let finer = exponent > 9
        self.multiplier = isBinary ? nanosecondsPerSecond : finer ? 1 : powerOfTen(9 - exponent)
        // No 64-bit count of units of 10^-29 seconds or less reaches a nanosecond. The divisor 0 stands for that.
        self.divisor = isBinary || !finer ? 1 : exponent - 9 < 20 ? powerOfTen(exponent - 9) : 0
        self.shift = isBinary ? exponent : 0
        self.offsetSeconds = offsetSeconds
        self.simpleMultiplier = !isBinary && !finer && offsetSeconds == 0 ? multiplier : 0
    }

    /// The time of `units`, in nanoseconds since 1970.
    @_noLocks @inline(__always)
    func nanoseconds(_ units: UInt64) -> UInt64 {
        if simpleMultiplier != 0 {
            let product = units.multipliedFullWidth(by: simpleMultiplier)
            return product.high == 0 ? product.low : UInt64.max
        }
        return generalNanoseconds(units)
    }

    /// The same for every resolution and offset, in 128 bits: a product below 2^94 and an offset below 2^93.
    @_noLocks @inline(never)
    private func generalNanoseconds(_ units: UInt64) -> UInt64 {
        let whole = divisor == 0 ? 0 : units / divisor
        let product = whole.multipliedFullWidth(by: multiplier)
        let unsigned = UInt128(product.high) &<< 64 | UInt128(product.low)
        let sinceStart = Int128(truncatingIfNeeded: unsigned &>> UInt128(shift))
        let start = Int128(offsetSeconds) * Int128(nanosecondsPerSecond)
        let time = sinceStart + start
        if time < 0 { return 0 }
        return time > Int128(UInt64.max) ? UInt64.max : UInt64(truncatingIfNeeded: time)
    }
}

private var nanosecondsPerSecond: UInt64 { @_noLocks get { 1_000_000_000 } }

/// 10^exponent for an exponent below 20.
@_noLocks
private func powerOfTen(_ exponent: UInt8) -> UInt64 {
    var result: UInt64 = 1
    for _ in 0..<exponent { result &*= 10 }
    return result
}
