internal import Machine

/// How a thread waits whose input comes in a stream: in naps, so that packets are taken in bursts.
///
/// To fall asleep and to be woken costs as much as hundreds of packets, and so does waking another thread. Nobody is woken
/// from a nap; the dearer part of that is saved to the sender. The more packets a nap brings, the longer the next one is.
struct Naps {
    /// Packets since the last nap was chosen, and when that was.
    private var packets = 0
    private var chosen: UInt64 = 0
    private var length = shortest
    private let longest: UInt64
    /// So many packets at once are more than the input is sure to hold.
    private let tooMany: Int

    private static var shortest: UInt64 { @_noLocks get { 50_000 } }
    /// With more time between packets than this, it is better to be woken by each.
    private static var gap: UInt64 { @_noLocks get { 100_000 } }
    /// A nap that brings fewer is hardly worth it, one that brings more could be longer.
    private static var few: Int { @_noLocks get { 8 } }
    private static var many: Int { @_noLocks get { 32 } }

    /// - Parameters:
    ///   - longest: nanoseconds that packets may be kept waiting.
    ///   - room: packets that the input can hold.
    @_noLocks init(longest: UInt64, room: Int) {
        self.longest = max(longest, Self.shortest)
        tooMany = room / 8
    }

    /// Packets were taken.
    @_noLocks mutating func took(_ count: Int) { packets += count }

    /// The input was found empty after these packets: how long to sleep, or nil if they are too few to be a stream.
    @_noLocks mutating func choose(at now: UInt64) -> UInt64? {
        let isStream = UInt64(packets) &* Self.gap > now &- chosen
        if packets > tooMany {
            length = max(length / 2, Self.shortest)
        } else if packets > Self.many {
            length = min(length * 2, longest)
        } else if packets < Self.few {
            length = Self.shortest
        }
        (packets, chosen) = (0, now)
        return isStream ? length : nil
    }
}
