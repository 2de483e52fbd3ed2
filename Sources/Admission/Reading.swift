/// What the governor is told at each turn, about the time since the turn before.
public struct Reading: BitwiseCopyable, Sendable, Equatable {
    /// Seconds since the last reading; above 0. Turns of 10 to 20 ms are meant.
    public var seconds: Double
    /// Bytes the workers encoded, for the live lane and the diverted one together.
    public var ingressBytes: UInt64
    /// Bytes that left for the destinations: of the fastest one that is up where each gets everything, of all of them
    /// where they share.
    public var drainedBytes: UInt64
    /// Whether the sender had nothing to send for some of that time. Its rate then says nothing of what it could take.
    public var isStarved: Bool
    /// Bytes of the pool that hold something unsent.
    public var occupiedBytes: UInt64
    /// Of these, what the fastest destination has not been sent where each gets everything; elsewhere all of them.
    public var backlogBytes: UInt64
    /// Bytes written to the cache.
    public var spilledBytes: UInt64
    /// Whether there is a cache and it takes what is written.
    public var canSpill: Bool

    /// - Parameter seconds: since the last reading.
    public init(
        seconds: Double, ingressBytes: UInt64 = 0, drainedBytes: UInt64 = 0, isStarved: Bool = false,
        occupiedBytes: UInt64 = 0, backlogBytes: UInt64? = nil, spilledBytes: UInt64 = 0, canSpill: Bool = true
    ) {
        (self.seconds, self.ingressBytes, self.drainedBytes) = (seconds, ingressBytes, drainedBytes)
        (self.isStarved, self.occupiedBytes) = (isStarved, occupiedBytes)
        self.backlogBytes = backlogBytes ?? occupiedBytes
        (self.spilledBytes, self.canSpill) = (spilledBytes, canSpill)
    }
}
