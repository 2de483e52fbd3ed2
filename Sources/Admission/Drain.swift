internal import Glibc

/// How fast the destinations take bytes when they are given enough of them.
///
/// Only time in which the sender was not starved counts, in windows long enough to hold several bursts of a socket. A whole
/// window without a byte is a standstill: the rate is kept for when it ends. What goes out in a window in which it was starved
/// for a while is a lower bound.
struct Drain: BitwiseCopyable, Sendable, Equatable {
    /// Bytes per second; 0 until anything was measured.
    private(set) var rate = 0.0
    /// Whether nothing at all was taken of late, though there was something to take.
    private(set) var isStill = false
    private var windowBytes = 0.0
    private var windowSeconds = 0.0
    /// The same of all time, and whether it was starved in it.
    private var wholeBytes = 0.0
    private var wholeSeconds = 0.0
    private var wasStarved = false
    /// Since the sender was last seen busy for a whole window.
    private var starvedSeconds = 0.0

    /// Seconds of unstarved time that are judged as one.
    static let window = 0.5
    /// Share of a new window in the rate: a socket takes bursts, and a window ends within one.
    static let weight = 0.25
    /// Growth per second while the sender is starved, up to what all that comes in needs. A receiver that became faster would
    /// never be found out otherwise, because what it is offered is what the old rate lets through.
    static let growth = 0.0025
    /// Seconds after which the growth doubles, and doubles again: a receiver of the old rate shows itself by then.
    static let doubling = 30.0

    /// Takes in what was taken.
    ///
    /// - Parameter enough: bytes per second with which nothing is diverted. That more could be taken is no matter, and a rate
    ///   that grew without end in quiet times would be blind to the overload after them.
    mutating func add(bytes: UInt64, seconds: Double, isStarved: Bool, enough: Double) {
        bound(Double(bytes), seconds, isStarved)
        if isStarved {
            isStill = false
            starvedSeconds += seconds
            let grown = rate * (1 + seconds * Self.growth * exp2(min(starvedSeconds / Self.doubling, 8)))
            rate = max(rate, min(grown, enough))
            return
        }
        windowBytes += Double(bytes)
        windowSeconds += seconds
        guard windowSeconds >= Self.window else { return }
        isStill = windowBytes == 0
        if !isStill {
            let measured = windowBytes / windowSeconds
            rate = rate == 0 ? measured : rate + (measured - rate) * Self.weight
        }
        (windowBytes, windowSeconds, starvedSeconds) = (0, 0, 0)
    }

    private mutating func bound(_ bytes: Double, _ seconds: Double, _ isStarved: Bool) {
        wholeBytes += bytes
        wholeSeconds += seconds
        wasStarved = wasStarved || isStarved
        guard wholeSeconds >= Self.window else { return }
        // Before anything was measured there is nothing it could be too little for.
        if wasStarved, rate > 0 { rate = max(rate, wholeBytes / wholeSeconds) }
        (wholeBytes, wholeSeconds, wasStarved) = (0, 0, false)
    }
}
