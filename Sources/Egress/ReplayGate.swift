internal import CMachine

/// Keeps what is replayed from standing in the way of what comes live.
///
/// What is in the sockets is first in, first out. So while live batches come, the next one from disk waits until the reader has
/// taken most of what it was sent, as far as its window tells: otherwise a slow reader's buffer would always be full of old
/// packets, and every new one behind them. A reader that keeps up has its window open and is never waited for, however far
/// away it is.
struct ReplayGate {
    /// When a live batch was chosen last (monotonic).
    var liveAt: UInt64 = 0
    /// The most room the reader had.
    private var widest: UInt64 = 0
    /// When a batch was let through last.
    private var passedAt: UInt64 = 0

    @_noLocks init() {}

    /// For so long after a live batch another one is expected.
    private static var liveTime: UInt64 { @_noLocks get { 50_000_000 } }
    /// No batch waits longer, whatever a window says: what is on disk must get away beside any load.
    private static var longestWait: UInt64 { @_noLocks get { 20_000_000 } }

    /// Whether a batch from disk may be begun now.
    ///
    /// - Parameter outstanding: bytes written that the reader has not acknowledged.
    @_noLocks mutating func lets(through socket: Int32, outstanding: UInt64, now: UInt64) -> Bool {
        if now &- liveAt < Self.liveTime {
            let room = spillway_peer_room(socket, outstanding)
            // A kernel that cannot say it leaves nothing to wait for.
            if room >= 0, !isEnough(UInt64(room), now: now) { return false }
        }
        passedAt = now
        return true
    }

    @_noLocks private mutating func isEnough(_ room: UInt64, now: UInt64) -> Bool {
        widest = max(widest, room)
        // What a reader takes while nothing comes it may not tell until half its window is open again (RFC 9293, 3.8.6.2.2);
        // what comes live makes it tell the rest.
        if room >= widest * 3 / 4 { return true }
        guard now &- passedAt >= Self.longestWait else { return false }
        // Its window may have become smaller for good, by its kernel's account of memory.
        widest /= 2
        return true
    }
}
