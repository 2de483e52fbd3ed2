public import Fragments
public import Pcapng

/// Where batch numbers are dense: one lane of one worker of one run.
public struct BatchLane: Hashable, Comparable, Sendable {
    /// The run.
    public let run: RunIdentity
    /// The worker within the run.
    public let worker: UInt16
    /// The lane within the run.
    public let lane: UInt16

    /// A lane from its parts.
    public init(run: RunIdentity, worker: UInt16, lane: UInt16) {
        self.run = run
        self.worker = worker
        self.lane = lane
    }

    /// The lane of a batch.
    public init(of trailer: BatchTrailer) {
        self.init(run: trailer.run, worker: trailer.worker, lane: trailer.lane)
    }

    /// The order of the ranges in a footer: by the bytes of the run, then worker, then lane.
    public static func < (left: BatchLane, right: BatchLane) -> Bool {
        if left.run != right.run {
            let (one, other) = (left.run.low.byteSwapped, right.run.low.byteSwapped)
            return one != other ? one < other : left.run.high.byteSwapped < right.run.high.byteSwapped
        }
        return (left.worker, left.lane) < (right.worker, right.lane)
    }
}

/// Batches of one lane whose numbers follow each other.
public struct BatchRange: Hashable, Sendable {
    /// The lane.
    public var lane: BatchLane
    /// The first number.
    public var first: UInt64
    /// How many numbers; at least 1.
    public var count: UInt64

    /// A range from its parts.
    public init(_ lane: BatchLane, first: UInt64, count: UInt64) {
        self.lane = lane
        self.first = first
        self.count = count
    }
}

/// A set of batches by identity: a list of ranges for each lane.
public struct BatchSet: Sendable {
    private var lists: [BatchLane: RangeList<UInt64>] = [:]
    /// How many ranges there are, which is what the set costs.
    public private(set) var rangeCount = 0

    /// The empty set.
    public init() {}

    /// Whether there is nothing in it.
    public var isEmpty: Bool { lists.isEmpty }
    /// The lanes that have batches in it, in no order.
    public var lanes: some Collection<BatchLane> { lists.keys }

    /// Whether a batch is in it.
    public func contains(_ lane: BatchLane, _ number: UInt64) -> Bool {
        lists[lane]?.contains(number) ?? false
    }

    /// Adds a range; numbers from the limit on are left out. Returns how many of them are new.
    @discardableResult
    public mutating func insert(_ range: BatchRange) -> UInt64 {
        guard range.first < BatchTrailer.numberLimit, range.count > 0 else { return 0 }
        let end = range.first + min(range.count, BatchTrailer.numberLimit - range.first)
        var list = lists.removeValue(forKey: range.lane) ?? RangeList()
        let before = list.count
        // The list has no limit and the range is not empty, so nothing can be thrown.
        let added = (try? list.insert(range.first..<end)) ?? 0
        rangeCount += list.count - before
        lists[range.lane] = list
        return added
    }

    /// Adds one batch; false if it is there already or its number is beyond the limit.
    @discardableResult
    public mutating func insert(_ lane: BatchLane, _ number: UInt64) -> Bool {
        insert(BatchRange(lane, first: number, count: 1)) == 1
    }

    /// Takes one batch out.
    public mutating func remove(_ lane: BatchLane, _ number: UInt64) {
        guard number < BatchTrailer.numberLimit, var list = lists.removeValue(forKey: lane) else { return }
        let before = list.count
        _ = try? list.erase(number..<number + 1)
        rangeCount += list.count - before
        if !list.isEmpty { lists[lane] = list }
    }

    /// Adds all of another set.
    public mutating func formUnion(_ other: BatchSet) {
        for range in other.ranges { insert(range) }
    }

    /// Forgets a run.
    public mutating func remove(run: RunIdentity) {
        for (lane, list) in lists where lane.run == run {
            rangeCount -= list.count
            lists[lane] = nil
        }
    }

    /// The ranges of one lane, in order.
    public func ranges(of lane: BatchLane) -> [Range<UInt64>] {
        lists[lane]?.map(\.range) ?? []
    }

    /// The ranges of one lane that lie within others, in order.
    public func ranges(of lane: BatchLane, within wanted: RangeList<UInt64>) -> [Range<UInt64>] {
        lists[lane]?.intersection(wanted).map(\.range) ?? []
    }

    /// All ranges in the order of `BatchLane`, then of their numbers.
    public var ranges: [BatchRange] {
        lists.keys.sorted().flatMap { lane in
            lists[lane]!.map { BatchRange(lane, first: $0.lowerBound, count: $0.length) }
        }
    }
}
