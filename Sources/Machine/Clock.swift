public import CMachine

/// Clocks, in nanoseconds.
///
/// Order, age and age-out go by the monotonic clock; what is written down is UTC. Both meet in `Clock.utcOffset`, taken
/// once at start, so that written arrival times never jump backwards while the process lives.
public enum Clock {
    /// CLOCK_MONOTONIC (clock_gettime(2)).
    @_noLocks @inlinable @inline(__always)
    public static func monotonic() -> UInt64 {
        spillway_clock_nanoseconds(1)
    }

    /// CLOCK_REALTIME: nanoseconds since 1970 UTC.
    @_noLocks @inlinable @inline(__always)
    public static func realtime() -> UInt64 {
        spillway_clock_nanoseconds(0)
    }

    /// CPU time the calling thread has used.
    @_noLocks @inlinable @inline(__always)
    public static func threadCPU() -> UInt64 {
        spillway_clock_nanoseconds(3)
    }

    /// What to add to `monotonic()` to get UTC, measured now; wrapping, because the sum is what counts.
    public static func utcOffset() -> UInt64 {
        // The two clocks are read around each other; the tightest of a few tries bounds the error.
        var best = (gap: UInt64.max, offset: UInt64(0))
        for _ in 0..<8 {
            let before = monotonic()
            let utc = realtime()
            let after = monotonic()
            if after - before < best.gap {
                best = (after - before, utc &- (before + (after - before) / 2))
            }
        }
        return best.offset
    }

    /// Waits about this long. For idle strategies only.
    @_noLocks @inlinable @inline(__always)
    public static func sleep(nanoseconds: UInt64) {
        spillway_sleep_nanoseconds(nanoseconds)
    }
}
