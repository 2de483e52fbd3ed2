/// How many bytes may go now, so that no more than a rate goes on average (a token bucket).
struct RateLimit {
    /// Bytes per second; 0 is no limit.
    private let rate: UInt64
    /// Bytes that may go, and up to when they were counted. Negative after a call that was allowed more than there was.
    private var credit: Double
    private var counted: UInt64

    /// What may go at once after a pause: a tenth of a second's worth, at least 64 KiB.
    private var most: Double { max(Double(rate) / 10, 65536) }

    init(_ rate: UInt64, now: UInt64) {
        self.rate = rate
        counted = now
        credit = 65536
    }

    /// How many bytes may go now; at least a packet's worth, or none.
    mutating func allowance(now: UInt64) -> UInt64 {
        guard rate > 0 else { return .max }
        credit = min(most, credit + Double(now - counted) * Double(rate) / 1e9)
        counted = now
        return credit >= min(16384, most / 4) ? UInt64(credit) : 0
    }

    /// So many bytes went.
    mutating func use(_ bytes: UInt64) { if rate > 0 { credit -= Double(bytes) } }

    /// Nanoseconds until something may go.
    var delay: UInt64 {
        guard rate > 0 else { return 0 }
        return UInt64(max(0, min(16384, most / 4) - credit) * 1e9 / Double(rate)) + 100_000
    }
}
