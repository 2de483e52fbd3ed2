internal import Synchronization

/// Which destination each batch is for, where they share the work instead of each getting everything.
///
/// The egress thread says which shares can be delivered now; workers choose among these, each in its own turn. Share n has
/// lane n + 1; lane 0 is everybody's.
@safe public struct ShareBoard: @unchecked Sendable {
    // Safe because the word lives as long as the process and is only touched atomically.
    private let word: UnsafePointer<Atomic<UInt64>>
    /// Number of shares, at most 64; 0 where everybody gets everything.
    public let count: Int

    /// A board of so many shares, none of them up.
    public init(shares count: Int) {
        precondition(count <= 64, "no more than 64 shares")
        let word = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
        unsafe self.word = UnsafePointer(word)
        self.count = count
    }

    /// Says which shares are up, one bit each.
    @_noLocks public func publish(up mask: UInt64) {
        unsafe word.pointee.store(mask, ordering: .relaxed)
    }

    /// The lane of the next batch: those that are up by turns, all of them when none is.
    ///
    /// - Parameter turn: the worker's own place; changed.
    @_noLocks public func nextLane(_ turn: inout Int) -> UInt16 {
        guard count > 0 else { return 0 }
        let all = count == 64 ? UInt64.max : 1 << UInt64(truncatingIfNeeded: count) - 1
        let up = unsafe word.pointee.load(ordering: .relaxed) & all
        let candidates = up == 0 ? all : up
        let later = turn >= 64 ? 0 : candidates & ~(1 << UInt64(truncatingIfNeeded: turn) - 1)
        let share = (later == 0 ? candidates : later).trailingZeroBitCount
        turn = share + 1
        return UInt16(truncatingIfNeeded: share + 1)
    }
}
