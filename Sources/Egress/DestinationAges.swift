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

/// The present ages by the numbers of the destinations' plans, from the thread that delivers to all who ask. It hands over
/// what it has counted; quantiles are taken by who asks. Its memory is taken once, because that thread takes none.
public final class AgeBoard: Sendable {
    private let ages: Mutex<[Ages]>

    /// Nothing yet, with room for so many plans.
    public init(plans: Int) { ages = Mutex(Array(repeating: Ages(), count: plans)) }

    /// As they were published last, without those that have none.
    public var present: [Int: DestinationAges] {
        ages.withLock { ages in
            var present: [Int: DestinationAges] = [:]
            for plan in ages.indices {
                let one = DestinationAges(ages[plan])
                if !one.isEmpty { present[plan] = one }
            }
            return present
        }
    }

    /// Has the present counting put in, by plans, where nothing is counted yet. Leaves it as it is while somebody looks: the
    /// delivering thread does not wait for that.
    func publish(_ count: (inout [Ages]) -> Void) {
        _ = ages.withLockIfAvailable { ages in
            for plan in ages.indices { ages[plan] = Ages() }
            count(&ages)
        }
    }
}

extension Egress {
    /// Says twice a second how old things are, where there are metrics.
    mutating func publishAges(now: UInt64) {
        guard let board = setup.ages, now >= nextAges else { return }
        nextAges = now &+ 500_000_000
        board.publish { ages in
            for place in 0..<connectionCount {
                // Places that wait for a destination have no plan; all readers of a listener have one.
                let plan = unsafe connections[place].plan
                if ages.indices.contains(plan) { unsafe ages[plan].add(connections[place].ages) }
            }
        }
    }
}
