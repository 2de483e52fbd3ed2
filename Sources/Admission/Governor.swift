/// Decides how many of the packets that come in go towards TCP: one in N. The others go to disk at once, none is lost by it.
///
/// A pure function of what it was told (`Reading`), without clock, lock or memory of its own: the same readings give the same
/// N. One turn is made every 10 to 20 ms.
///
/// **The rule.** Pressure is the ingress to expect after `horizon` (fast average plus acceleration times horizon) and the
/// backlog above the low watermark, to be worked off in `backlogTime`. N is the least number for which 1/N of the pressure
/// fits into the drain rate with `headroom`. What only slower destinations are owed, or none that is up, is no backlog: the
/// sweep takes it to disk, and diverting would make those wait that keep up.
///
/// **Its movement.**
/// - From 1 it moves only when the backlog will have reached the high watermark after `horizon`: bursts are what memory is for.
/// - It rises at once, to the value of the rule, when the live share has gone over the `brim`.
/// - It falls by half at most, below the low watermark only, after the rule has given a clearly smaller value (`band`) for the
///   whole of `dwell`. Between brim and band a constant load settles on one value, though rates be measured with errors.
/// - While nothing is drained it stays as it is: a dead destination is no reason to divert, nor to stop it.
/// - Under the reserve it takes its greatest value, and returns to the former one when twice the reserve is free. What will fill
///   within `reaction`, the disk's rate taken off, counts as filled.
/// - While the cache cannot be written, and until it could be for `recovery`, it is 1: diverting would be losing. A full disk
///   takes something again and again, whenever a file has expired.
public struct Governor: BitwiseCopyable, Sendable, Equatable {
    /// One in so many packets goes to the live lane; at least 1.
    public private(set) var n: UInt32 = 1
    /// How often `n` has changed.
    public private(set) var changes: UInt64 = 0
    /// Why `n` is what it is.
    public private(set) var state = State.open
    /// The greatest `n` so far.
    public private(set) var greatest: UInt32 = 1

    private let limits: PoolLimits
    private var ingress = Ingress()
    private var drain = Drain()
    private var spillRate = 0.0
    /// Seconds for which the rule has allowed a smaller N without a break.
    private var lull = 0.0
    /// Seconds for which the cache could be written since it could not.
    private var writable = Self.recovery
    /// What to return to from the reserve.
    private var former: UInt32?

    /// The greatest N, under the reserve: a trickle still shows that the live lane lives.
    public static let most: UInt32 = 1024
    /// Of the drain rate, what the live share fills after a change: 15 % are left for bursts.
    static let headroom = 0.85
    /// Of the drain rate, what the live share may fill before N rises: averages over a quarter of a second of jittering traffic
    /// are wrong by 10 % often and by 35 % hardly ever. What is too much meanwhile, memory takes.
    static let brim = 1.15
    /// N falls when the rule gives less than N divided by this: as far below as the brim is above.
    static let band = 1.5
    /// Of the drain rate, what may come in when N falls to 1, where nothing but the high watermark makes it rise again.
    static let open = 0.95
    /// Seconds in which the backlog above the low watermark is to be worked off: about the age at which it is swept.
    static let backlogTime = 5.0
    /// Seconds the acceleration is believed: it is the difference of averages over a quarter and a whole second.
    static let horizon = 0.5
    /// Seconds from a reading to its effect: a turn, and what the open batches still hold.
    static let reaction = 0.05
    /// Seconds of lull before each step downwards. Ten halvings from 1024 to 1 take 4 seconds.
    static let dwell = 0.4

    /// Seconds after which a cache that could not be written is believed again.
    static let recovery = 3.0

    /// Why N is what it is.
    public enum State: UInt8, BitwiseCopyable, Sendable, CaseIterable {
        /// Everything goes to the live lane: memory and drain suffice.
        case open
        /// By the rule.
        case governed
        /// Nothing is drained: N stays.
        case frozen
        /// Too little memory is free: N is at its greatest.
        case reserve
        /// There is no cache that takes anything, or there was none just now: N is 1.
        case unwritable
    }

    /// - Parameter limits: the pool's.
    public init(limits: PoolLimits) { self.limits = limits }

    /// The inputs as they are understood, for metrics and the log; bytes per second, acceleration per second more.
    public var ingressRate: Double { ingress.fast }
    /// The slow average of the same.
    public var slowIngressRate: Double { ingress.slow }
    /// How fast the ingress grows.
    public var acceleration: Double { ingress.acceleration }
    /// What goes to disk.
    public var spilledRate: Double { spillRate }
    /// What the destinations take when given enough.
    public var drainRate: Double { drain.rate }

    /// One turn.
    ///
    /// - Returns: whether `n` changed.
    @discardableResult
    public mutating func turn(_ reading: Reading) -> Bool {
        ingress.add(bytes: reading.ingressBytes, seconds: reading.seconds)
        drain.add(
            bytes: reading.drainedBytes, seconds: reading.seconds, isStarved: reading.isStarved,
            enough: ingress.slow * Self.brim / Self.open)
        spillRate +=
            (Double(reading.spilledBytes) / reading.seconds - spillRate)
            * Ingress.weight(reading.seconds, Ingress.slowTime)
        let next = decide(reading)
        guard next != n else { return false }
        (n, changes, greatest) = (next, changes + 1, max(greatest, next))
        return true
    }

    private mutating func decide(_ reading: Reading) -> UInt32 {
        writable = reading.canSpill ? min(writable + reading.seconds, Self.recovery) : 0
        guard writable >= Self.recovery else {
            (state, former) = (.unwritable, nil)
            return 1
        }
        let free = freeBytes(reading)
        let reserve = Double(limits.reserve)
        if free < reserve || (former != nil && free < 2 * reserve) {
            former = former ?? n
            state = .reserve
            return Self.most
        }
        if let value = former {
            former = nil
            state = value == 1 ? .open : .governed
            return value
        }
        if drain.isStill {
            state = .frozen
            return n
        }
        // Before anything was drained there is nothing to compare with.
        let next = drain.rate == 0 ? n : govern(backlog: Double(reading.backlogBytes), seconds: reading.seconds)
        state = next == 1 ? .open : .governed
        return next
    }

    /// What is free, less what will be filled before a decision takes effect.
    private func freeBytes(_ reading: Reading) -> Double {
        let free = Double(limits.capacity) - Double(reading.occupiedBytes)
        return free - max(0, ingress.fast - drain.rate - spillRate) * Self.reaction
    }

    private mutating func govern(backlog: Double, seconds: Double) -> UInt32 {
        let growth = max(0, ingress.acceleration)
        if n == 1 {
            let surplus = ingress.fast - drain.rate + growth * Self.horizon / 2
            if backlog + max(0, surplus) * Self.horizon < Double(limits.high) { return 1 }
        }
        let excess = max(0, backlog - Double(limits.low))
        let pressure = ingress.fast + growth * Self.horizon + excess / Self.backlogTime
        if pressure > Self.brim * drain.rate * Double(n) {
            lull = 0
            return fitting(pressure)
        }
        let lower = lowerValue(pressure)
        lull = lower < n && backlog < Double(limits.low) ? lull + seconds : 0
        guard lull >= Self.dwell else { return n }
        lull = 0
        return lower
    }

    /// What N may fall to; itself, if it may not.
    private func lowerValue(_ pressure: Double) -> UInt32 {
        if pressure <= Self.open * drain.rate { return max(1, n / 2) }
        let value = fitting(pressure)
        return Double(value) * Self.band <= Double(n) ? max(value, n / 2) : n
    }

    /// The least N for which a share of the pressure fits with headroom; at least 2.
    private func fitting(_ pressure: Double) -> UInt32 {
        let ratio = (pressure / (Self.headroom * drain.rate)).rounded(.up)
        return UInt32(min(max(ratio, 2), Double(Self.most)))
    }
}
