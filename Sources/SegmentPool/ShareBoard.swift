internal import Synchronization

/// Which destination each packet is for, where they share the work instead of each getting everything.
///
/// Every destination with a share has a place on the board, and each place has a lane. The egress thread fills a table
/// with places, each as often as its share is large; workers go through it batch by batch (by turns), or look a
/// conversation's hash up in it (by flow). Every entry is a word of its own and always names a place, so that a table that
/// is just being rewritten needs no lock: a worker sees the old or the new entry, and both are right.
@safe public struct ShareBoard: @unchecked Sendable {
    // Safe because the words live as long as the process, are only touched atomically, and indices are below their number.

    /// How packets find their place.
    public enum Rule: Sendable, Equatable {
        /// There is no sharing: lane 0 is everybody's.
        case everybody
        /// Each batch goes to the next one that is up.
        case byTurns
        /// A conversation always goes to the same one.
        case byFlow
    }

    /// How packets find their place.
    public let rule: Rule
    /// Places there are, at most 64; 0 where everybody gets everything.
    public let count: Int
    /// First how many entries of the table are in use, then the lanes of the places, then the table.
    private let words: UnsafePointer<Atomic<UInt32>>

    /// Entries of the table. With so many the greatest share differs from what it should be by less than a thousandth.
    static var entries: Int { @_noLocks get { 1024 } }
    /// Places at most.
    public static var maximumPlaces: Int { @_noLocks get { 64 } }
    /// Shares at most, over all places.
    public static var maximumShares: Int { @_noLocks get { 1024 } }
    /// What is added to a live lane to get the diverted lane of the same destination.
    public static var divertedLane: UInt16 { @_noLocks @inlinable get { 128 } }

    /// A board of so many equal shares, with the lanes from 1 on.
    ///
    /// - Parameter spare: places for destinations that join later.
    public init(shares: Int, spare: Int = 0, rule: Rule = .byTurns) {
        let count = shares == 0 ? 0 : shares + spare
        precondition(count <= Self.maximumPlaces, "no more than 64 places")
        self.rule = count == 0 ? .everybody : rule
        self.count = count
        let words = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1 + Self.maximumPlaces + Self.entries)
        for place in 0..<1 + Self.maximumPlaces + Self.entries {
            unsafe (words + place).initialize(to: Atomic(0))
        }
        unsafe self.words = UnsafePointer(words)
        for place in 0..<count { setLane(UInt16(place + 1), of: place) }
        publish((0..<shares).map { ($0, 1) })
    }

    /// Gives a place its lane. Control plane.
    public func setLane(_ lane: UInt16, of place: Int) {
        unsafe words[1 + place].store(UInt32(lane), ordering: .relaxed)
    }

    /// Fills the table: each place as often as its share, spread evenly; as it was if there are none. Control plane.
    ///
    /// - Parameter target: where the packets of a place go instead; itself, where nothing is said.
    public func publish(_ shares: [(place: Int, share: Int)], target: [Int: Int] = [:]) {
        let total = shares.reduce(0) { $0 + $1.share }
        guard total > 0, total <= Self.entries else { return }
        // Smooth weighted turns: whoever is furthest behind its share is next.
        var credits = [Int](repeating: 0, count: shares.count)
        var cycle: [Int] = []
        for _ in 0..<total {
            for number in shares.indices { credits[number] += shares[number].share }
            var next = 0
            for number in shares.indices where credits[number] > credits[next] { next = number }
            credits[next] -= total
            cycle.append(target[shares[next].place] ?? shares[next].place)
        }
        // Entries beyond those in use are filled, too: a worker may still have the old number.
        for entry in 0..<Self.entries {
            unsafe words[1 + Self.maximumPlaces + entry].store(UInt32(cycle[entry % total]), ordering: .relaxed)
        }
        unsafe words[0].store(UInt32(Self.entries / total * total), ordering: .relaxed)
    }

    /// The lane of a place.
    @_noLocks public func lane(of place: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: unsafe words[1 + place].load(ordering: .relaxed))
    }

    /// The place of a conversation.
    @_noLocks public func place(ofHash hash: UInt32) -> Int {
        let used = UInt64(unsafe words[0].load(ordering: .relaxed))
        return entry(Int(truncatingIfNeeded: (UInt64(hash) &* used) >> 32))
    }

    /// The lane of the next batch, by turns.
    ///
    /// - Parameter turn: the worker's own place in the table; changed.
    @_noLocks public func nextLane(_ turn: inout Int) -> UInt16 {
        guard count > 0 else { return 0 }
        if unsafe turn >= Int(words[0].load(ordering: .relaxed)) { turn = 0 }
        let place = entry(turn)
        turn += 1
        return lane(of: place)
    }

    /// How many batches a worker has open at once for live packets.
    public var openBatches: Int { rule == .byFlow ? count : 1 }

    @_noLocks private func entry(_ number: Int) -> Int {
        Int(unsafe words[1 + Self.maximumPlaces + number].load(ordering: .relaxed))
    }
}
