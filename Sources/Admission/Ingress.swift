internal import Glibc

/// How fast packets come in, and how fast that grows, from two exponential averages.
///
/// Under a ramp an exponential average lags behind by slope times time constant. The difference of two averages divided by
/// the difference of their time constants is therefore the slope itself: an acceleration without differentiating noise.
struct Ingress: BitwiseCopyable, Sendable, Equatable {
    /// Bytes per second, by an average over `fastTime`.
    private(set) var fast = 0.0
    /// Bytes per second, by an average over `slowTime`.
    private(set) var slow = 0.0

    /// Seconds. Long enough to span several batches at any rate worth governing, short enough to see a burst coming.
    static let fastTime = 0.25
    /// Seconds.
    static let slowTime = 1.0

    /// Bytes per second, per second. Below 0 while less and less comes.
    var acceleration: Double { (fast - slow) / (Self.slowTime - Self.fastTime) }

    /// Takes in what came.
    mutating func add(bytes: UInt64, seconds: Double) {
        let rate = Double(bytes) / seconds
        fast += (rate - fast) * Self.weight(seconds, Self.fastTime)
        slow += (rate - slow) * Self.weight(seconds, Self.slowTime)
    }

    /// The weight of a sample that lasted so long; exact for turns of unequal length.
    static func weight(_ seconds: Double, _ constant: Double) -> Double { -expm1(-seconds / constant) }
}
