/// The sizes of the memory the governor guards, in bytes.
public struct PoolLimits: BitwiseCopyable, Sendable, Equatable {
    /// All that can be occupied before a writer may stand without a segment.
    public var capacity: UInt64
    /// Below it N may fall.
    public var low: UInt64
    /// Where a surplus is no burst any more; the sweep begins here or a little higher.
    public var high: UInt64
    /// With less than this free everything is diverted.
    public var reserve: UInt64

    /// Watermarks as shares of the capacity, an eighth of it being the reserve.
    ///
    /// - Parameters:
    ///   - capacity: bytes of all segments.
    ///   - low: a share, for example 0.4.
    ///   - high: a share above `low` and below seven eighths.
    public init(capacity: UInt64, low: Double = 0.4, high: Double = 0.7) {
        self.capacity = capacity
        self.low = UInt64(Double(capacity) * low)
        self.high = UInt64(Double(capacity) * high)
        reserve = capacity / 8
    }
}

/// The marks of a pool of segments: one notion of how full it is, for the sweep and for the governor.
///
/// What counts are segments that writers have left. The governor comes to its mark no later than the sweep: otherwise
/// the sweep, which is quick, would always be there first, and nothing would ever be diverted.
public struct Watermarks: BitwiseCopyable, Sendable, Equatable {
    /// Occupied segments above which memory is swept, and down to which.
    public let sweepAbove: Int, sweepTo: Int
    /// The governor's.
    public let limits: PoolLimits

    /// - Parameters:
    ///   - occupiable: segments that can be occupied while every writer has all it may have in hand.
    ///   - spare: how many of those in hand writers can do without.
    ///   - segmentBytes: bytes of a segment.
    public init(occupiable: Int, spare: Int, segmentBytes: Int) {
        (sweepAbove, sweepTo) = (occupiable * 3 / 4, occupiable * 5 / 8)
        let bytes = UInt64(segmentBytes)
        var limits = PoolLimits(capacity: UInt64(occupiable) * bytes)
        limits.high = min(limits.high, UInt64(sweepAbove) * bytes)
        // An empty pool is below the low mark, whatever its size.
        limits.low = max(limits.low, bytes / 2)
        limits.capacity += UInt64(spare) * bytes
        self.limits = limits
    }
}
