internal import Machine

/// Decides when the next packet of a file is due.
struct Pacer {
    private let pace: RelayOptions.Pace
    private var start: UInt64 = 0
    private var firstTime: UInt64 = 0
    private var packets: UInt64 = 0
    private var bits: UInt64 = 0
    /// Whether packets are to be held back at all.
    let isOn: Bool

    init(_ pace: RelayOptions.Pace) {
        self.pace = pace
        isOn = pace != .max
    }

    /// Monotonic time at which a packet with this stamp and length is due.
    @_noLocks mutating func due(time: UInt64, bytes: UInt32, now: UInt64) -> UInt64 {
        if packets == 0 { (start, firstTime) = (now, time) }
        defer {
            packets += 1
            bits += UInt64(bytes) * 8
        }
        switch pace {
        case .max: return now
        // A stamp before the first one is due at once.
        case .recorded: return start &+ (time > firstTime ? time - firstTime : 0)
        case .packetsPerSecond(let rate): return start &+ Self.scale(packets, per: rate)
        case .bitsPerSecond(let rate): return start &+ Self.scale(bits, per: rate)
        }
    }

    /// `amount / rate` seconds in nanoseconds, without overflow.
    @_noLocks private static func scale(_ amount: UInt64, per rate: UInt64) -> UInt64 {
        let product = amount.multipliedFullWidth(by: 1_000_000_000)
        let rate = max(rate, 1)
        return product.high >= rate ? .max / 2 : rate.dividingFullWidth(product).quotient
    }
}
