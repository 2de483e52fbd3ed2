/// How fast packets go out.
public enum ReplayPace: Sendable, Equatable {
    /// As fast as the interface takes them.
    case top
    /// So many millionths of the speed they were recorded at: 1,000,000 is as recorded.
    case recorded(millionths: UInt64)
    case packetsPerSecond(UInt64)
    case bitsPerSecond(UInt64)
}

/// Decides when the next packet is due, from one point in time for all packets, so that errors do not add up.
struct PaceClock {
    private let pace: ReplayPace
    /// Where counting begins, by the monotonic clock, and what has gone out since.
    private var start: UInt64 = 0
    private var packets: UInt64 = 0
    private var bits: UInt64 = 0
    /// The stamp that is due at `base`, and the latest one since.
    private var firstTime: UInt64 = 0, base: UInt64 = 0, lastTime: UInt64 = 0
    private var lastDue: UInt64 = 0
    /// Whether packets are held back at all.
    let isOn: Bool

    init(_ pace: ReplayPace) {
        self.pace = pace
        isOn = pace != .top
    }

    /// Monotonic time at which a packet with this stamp and length is due.
    ///
    /// - Parameter isFirstOfFile: where a file begins before the last one ended, time goes on from there.
    @_noLocks mutating func due(time: UInt64, bytes: Int, now: UInt64, isFirstOfFile: Bool) -> UInt64 {
        if packets == 0 { (start, base, firstTime, lastTime, lastDue) = (now, now, time, time, now) }
        if isFirstOfFile, time < lastTime { (base, firstTime, lastTime) = (lastDue, time, time) }
        defer {
            packets &+= 1
            bits &+= UInt64(bytes) &* 8
        }
        switch pace {
        case .top: return now
        case .recorded(let millionths):
            lastTime = max(lastTime, time)
            // A stamp before the first one is due at once; one before the last is due with it.
            let due = base &+ Self.scale(lastTime &- firstTime, 1_000_000, per: millionths)
            lastDue = due
            return due
        case .packetsPerSecond(let rate): return start &+ Self.scale(packets, 1_000_000_000, per: rate)
        case .bitsPerSecond(let rate): return start &+ Self.scale(bits, 1_000_000_000, per: rate)
        }
    }

    /// `amount * factor / rate` without overflow; a century at most.
    @_noLocks private static func scale(_ amount: UInt64, _ factor: UInt64, per rate: UInt64) -> UInt64 {
        let product = amount.multipliedFullWidth(by: factor)
        let rate = max(rate, 1)
        return product.high >= rate ? .max / 4 : min(rate.dividingFullWidth(product).quotient, .max / 4)
    }
}
