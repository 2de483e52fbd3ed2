/// Ages in nanoseconds, counted in log-linear buckets: 16 per doubling, so a quantile is right within 6 %.
public struct AgeHistogram: BitwiseCopyable, Sendable {
    private var buckets: InlineArray<768, UInt32>
    private var count: UInt64 = 0

    /// Nothing counted.
    @_noLocks public init() { buckets = InlineArray(repeating: 0) }

    /// Counts one age. Below 16 µs everything is alike.
    @_noLocks public mutating func record(_ nanoseconds: UInt64) {
        let value = max(nanoseconds >> 10, 16)
        let octave = 63 - value.leadingZeroBitCount
        let fraction = Int(truncatingIfNeeded: (value >> UInt64(truncatingIfNeeded: octave - 4)) & 15)
        let index = min((octave - 4) * 16 + fraction, 767)
        if buckets[index] == .max { halve() }
        buckets[index] += 1
        count += 1
    }

    /// Forgets half of everything, evenly: what a bucket can count is some days of full speed.
    @_noLocks private mutating func halve() {
        count = 0
        var index = 0
        while index < 768 {
            buckets[index] /= 2
            count += UInt64(buckets[index])
            index += 1
        }
    }

    /// Counts what another has counted, too.
    @_noLocks public mutating func add(_ other: Self) {
        guard other.count > 0 else { return }
        count = 0
        var index = 0
        while index < 768 {
            let (sum, overflows) = buckets[index].addingReportingOverflow(other.buckets[index])
            buckets[index] = overflows ? .max : sum
            count += UInt64(buckets[index])
            index += 1
        }
    }

    /// The age that this share of the counts does not pass, in nanoseconds; nil if nothing was counted.
    @_noLocks public func quantile(_ share: Double) -> UInt64? {
        guard count > 0 else { return nil }
        let wanted = Double(count) * share
        var left = UInt64(wanted)
        if Double(left) < wanted { left += 1 }
        var index = 0
        while index < 768 {
            let here = UInt64(buckets[index])
            if here >= left {
                return UInt64(16 + index % 16 + 1) << UInt64(index / 16 + 10)
            }
            left -= here
            index += 1
        }
        return nil
    }
}

/// How fresh what a destination has is, by the measures of the design.
public struct Ages: BitwiseCopyable, Sendable {
    /// Now minus the arrival of the freshest packet delivered, sampled.
    public private(set) var information = AgeHistogram()
    /// Age of each batch at its delivery, of those sent from memory.
    public private(set) var live = AgeHistogram()
    /// The same of those sent from disk.
    public private(set) var replay = AgeHistogram()
    /// Arrival of the freshest packet delivered, UTC; 0 before the first.
    private var freshest: UInt64 = 0

    /// Nothing delivered.
    @_noLocks public init() {}

    /// A batch was delivered.
    ///
    /// - Parameters:
    ///   - arrival: its last arrival, nanoseconds since 1970 UTC.
    ///   - utc: now.
    ///   - isReplayed: whether it was sent from disk.
    @_noLocks public mutating func delivered(arrival: UInt64, utc: UInt64, isReplayed: Bool = false) {
        freshest = max(freshest, arrival)
        let age = utc > arrival ? utc - arrival : 0
        if isReplayed { replay.record(age) } else { live.record(age) }
    }

    /// Somebody else is delivered to from now on; what was counted stays.
    @_noLocks public mutating func startAnew() { freshest = 0 }

    /// Counts what was counted elsewhere, too.
    @_noLocks public mutating func add(_ other: borrowing Self) {
        information.add(other.information)
        live.add(other.live)
        replay.add(other.replay)
    }

    /// Counts how old what is there is now; to be called at even intervals.
    @_noLocks public mutating func sample(utc: UInt64) {
        if freshest > 0 { information.record(utc > freshest ? utc - freshest : 0) }
    }
}
