/// Picks one packet in N, uniformly: of each N packets in a row one, at a place drawn anew each time. A source that repeats
/// itself every N packets is therefore not sampled at one phase only.
///
/// The worker owns it. splitmix64 draws the places (Steele, Lea and Flood, OOPSLA 2014); a multiplication brings them into
/// range, whose bias is below one in four million.
public struct PacketSelector: BitwiseCopyable, Sendable {
    @usableFromInline var state: UInt64
    @usableFromInline var n: UInt32 = 1
    @usableFromInline var left: UInt32 = 0
    @usableFromInline var chosen: UInt32 = 0

    /// - Parameter seed: any number; runs differ by it.
    @_noLocks @inlinable
    public init(seed: UInt64) { state = seed }

    /// Whether the next packet is one of the admitted.
    ///
    /// - Parameter n: one in so many. A new value holds from the next packet on.
    @_noLocks @inlinable @inline(__always)
    public mutating func admits(oneIn n: UInt32) -> Bool {
        if n <= 1 {
            left = 0
            return true
        }
        if left == 0 || n != self.n { begin(n) }
        left &-= 1
        return left == chosen
    }

    @_noLocks @inlinable
    mutating func begin(_ n: UInt32) {
        (self.n, left) = (n, n)
        chosen = UInt32(truncatingIfNeeded: (draw() >> 32 &* UInt64(n)) >> 32)
    }

    @_noLocks @inlinable
    mutating func draw() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// Picks whole conversations: those whose hash falls into the first N-th of all values. What is admitted at one N is admitted
/// at every smaller one, so a change of N breaks as few conversations as can be.
public enum FlowSelector {
    /// - Parameters:
    ///   - hash: of the conversation, the same in both directions, seeded per run, uniform over its 32 bits.
    ///   - n: one in so many; at least 1.
    @_noLocks @inlinable @inline(__always)
    public static func admits(hash: UInt32, oneIn n: UInt32) -> Bool {
        UInt64(hash) &* UInt64(n) < 1 << 32
    }
}
