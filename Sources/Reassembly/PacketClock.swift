/// The time by which datagrams grow old: packet time, and where no packets come, arrival.
///
/// So replaying an old capture behaves as it did on the wire, however fast it is read, and a wire that falls silent does
/// not keep fragments for ever. It only goes forward. A stamp that jumps back by more than `slack` begins a new reckoning
/// (the next file is older); a smaller step back is the disorder of a capture with several queues.
struct PacketClock: BitwiseCopyable {
    /// Nanoseconds since the first packet.
    private(set) var now: UInt64 = 0
    private var base: UInt64 = 0
    private var stamp: UInt64 = 0
    private var arrival: UInt64 = 0
    private var hasStarted = false
    private let slack: UInt64

    init(slack: UInt64) { self.slack = slack }

    /// A packet with this stamp came at this time.
    @_noLocks @inline(__always)
    mutating func advance(stamp time: UInt64, arrival: UInt64) {
        self.arrival = arrival
        if time > stamp {
            if hasStarted { base &+= time &- stamp }
            hasStarted = true
            stamp = time
            if base > now { now = base }
        } else if stamp &- time > slack {
            stamp = time
            // What time passed in silence stays passed.
            base = now
        }
    }

    /// Nothing comes, and it is now this late.
    @_noLocks
    mutating func idle(until present: UInt64) {
        guard hasStarted, present > arrival else { return }
        now = max(now, base &+ (present &- arrival))
    }
}
