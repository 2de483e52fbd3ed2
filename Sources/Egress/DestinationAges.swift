internal import Synchronization
internal import Machine

/// How old what a destination got was, in nanoseconds: the median and the age that 99 of 100 do not pass; nil where there
/// was nothing.
public struct DestinationAges: Sendable, Equatable {
    /// A median and a 99th percentile.
    public struct Pair: Sendable, Equatable {
        /// Half of all are no older.
        public var p50: UInt64?
        /// 99 of 100 are no older.
        public var p99: UInt64?

        init(_ histogram: AgeHistogram? = nil) {
            (p50, p99) = (histogram?.quantile(0.5), histogram?.quantile(0.99))
        }
    }

    /// Of the freshest packet delivered, sampled at even intervals.
    public var information = Pair()
    /// Of batches at their delivery, of those sent from memory.
    public var live = Pair()
    /// The same of those sent from disk.
    public var replay = Pair()

    /// Nothing was delivered.
    public init() {}

    /// The present state of the counting.
    init(_ ages: Ages) {
        (information, live, replay) = (Pair(ages.information), Pair(ages.live), Pair(ages.replay))
    }

    var isEmpty: Bool { live.p50 == nil && replay.p50 == nil }
}

/// The present ages by the numbers of the destinations' plans, from the thread that delivers to all who ask.
public final class AgeBoard: Sendable {
    private let ages = Mutex<[Int: DestinationAges]>([:])

    /// Nothing yet.
    public init() {}

    /// As they were published last.
    public var present: [Int: DestinationAges] { ages.withLock { $0 } }

    func publish(_ new: [Int: DestinationAges]) { ages.withLock { $0 = new } }
}

extension Egress {
    /// Says twice a second how old things are, for metrics.
    mutating func publishAges(now: UInt64) {
        guard now >= nextAges else { return }
        nextAges = now &+ 500_000_000
        var all: [Int: DestinationAges] = [:]
        for place in 0..<connectionCount {
            let one = unsafe (plan: connections[place].plan, ages: DestinationAges(connections[place].ages))
            if !one.ages.isEmpty { all[one.plan] = one.ages }
        }
        setup.ages.publish(all)
    }
}
