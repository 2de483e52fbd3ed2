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

        init() {}

        init(_ histogram: borrowing AgeHistogram) {
            (p50, p99) = (histogram.quantile(0.5), histogram.quantile(0.99))
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

/// The present ages by the numbers of the destinations' plans, from the thread that delivers to all who ask. Its memory is
/// taken once, because that thread takes none.
public final class AgeBoard: Sendable {
    private let ages: Mutex<[DestinationAges]>

    /// Nothing yet, with room for so many plans.
    public init(plans: Int) { ages = Mutex(Array(repeating: DestinationAges(), count: plans)) }

    /// As they were published last, without those that have none.
    public var present: [Int: DestinationAges] {
        ages.withLock { ages in
            var present: [Int: DestinationAges] = [:]
            for plan in ages.indices where !ages[plan].isEmpty { present[plan] = ages[plan] }
            return present
        }
    }

    func publish(_ new: DestinationAges, of plan: Int) {
        ages.withLock { ages in
            // Places that wait for a destination have no plan yet.
            if plan >= 0, plan < ages.count { ages[plan] = new }
        }
    }
}

extension Egress {
    /// Says twice a second how old things are, for metrics.
    mutating func publishAges(now: UInt64) {
        guard now >= nextAges else { return }
        nextAges = now &+ 500_000_000
        for place in 0..<connectionCount {
            // Also where there are none yet: what the runtime makes of types at their first use is made at the start.
            setup.ages.publish(unsafe DestinationAges(connections[place].ages), of: unsafe connections[place].plan)
        }
    }
}
