internal import Synchronization

/// A limit of bytes per second, shared by connections of several loops.
///
/// It is a clock of its own that runs ahead of the real one with every byte; when it is too far ahead, nobody may send
/// (the generic cell rate algorithm).
final class RateBucket: Sendable {
    private let bytesPerSecond: UInt64
    /// When all that was sent so far would have been sent at exactly the rate.
    private let due = Atomic<UInt64>(0)
    /// How far ahead is allowed: a twentieth of a second's worth goes at once.
    private static let ahead: UInt64 = 50_000_000

    init(bytesPerSecond: UInt64) { self.bytesPerSecond = max(1, bytesPerSecond) }

    /// How many bytes may be sent now, or when the next may be.
    func allowance(now: UInt64) -> (bytes: UInt64, retryAt: UInt64) {
        let due = due.load(ordering: .relaxed)
        guard due < now &+ Self.ahead else { return (0, due &- Self.ahead / 2) }
        let room = now &+ Self.ahead &- max(due, now)
        let bytes = UInt64(Double(room) / 1e9 * Double(bytesPerSecond))
        return bytes > 0 ? (bytes, now) : (1, now)
    }

    /// Notes what was sent.
    func charge(_ bytes: UInt64, now: UInt64) {
        let cost = UInt64(Double(bytes) * 1e9 / Double(bytesPerSecond))
        var known = due.load(ordering: .relaxed)
        while true {
            let won = due.compareExchange(expected: known, desired: max(known, now) &+ cost, ordering: .relaxed)
            if won.exchanged { return }
            known = won.original
        }
    }
}
