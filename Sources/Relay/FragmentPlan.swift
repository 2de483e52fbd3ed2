internal import Machine
internal import Reassembly

/// How the memory for fragments is shared out among the workers of a run, and which of them exchange fragments.
struct FragmentPlan {
    /// What each worker does, and in how much memory; nil where fragments are left alone.
    let settings: ReassemblySettings?
    /// Workers that share an interface, and so exchange fragments: lane numbers, in one run for each interface.
    let groups: [Range<Int>]
    /// Bytes of a ring between two workers, by group.
    let ringBytes: [Int]
    /// The same for all workers.
    let seed = HashSeed.random()

    /// The least and the greatest ring between two workers.
    private static let ringLimits = 16 << 10...2 << 20

    init(options: RelayOptions, lanes: Int, interfaces: LiveInterfaces) throws(RelayError) {
        let places = interfaces.lanes.map(\.interface)
        // A reader of files is a group of its own.
        var groups: [Range<Int>] = places.isEmpty ? [0..<lanes] : []
        for lane in places.indices {
            if lane > 0, places[lane] == places[lane - 1] {
                groups[groups.count - 1] = groups[groups.count - 1].lowerBound..<lane + 1
            } else {
                groups.append(lane..<lane + 1)
            }
        }
        self.groups = groups
        guard options.reassembles else {
            settings = nil
            ringBytes = groups.map { _ in 0 }
            return
        }
        let least = options.chosenFragmentMemory == nil ? lanes * ReassemblySettings.leastMemory : 0
        let share = Self.wholePages(max(options.fragmentMemory, least) / lanes)
        guard share >= ReassemblySettings.leastMemory else {
            throw RelayError(
                .usage,
                "--fragment-memory \(Size.text(options.fragmentMemory)) is too small: this run has \(lanes)"
                    + " \(lanes == 1 ? "worker, which" : "workers, each of which") needs"
                    + " \(Size.text(ReassemblySettings.leastMemory))")
        }
        var settings = ReassemblySettings()
        (settings.policy, settings.timeout, settings.memory) = (options.overlap, options.fragmentTimeout, share)
        self.settings = settings
        ringBytes = groups.map { group in
            let pairs = group.count * (group.count - 1)
            guard pairs > 0 else { return 0 }
            var bytes = Self.ringLimits.upperBound
            while bytes > Self.ringLimits.lowerBound, bytes * pairs > options.fragmentMemory { bytes /= 2 }
            return bytes
        }
    }

    /// Whole huge pages where it is enough for some, else whole pages.
    private static func wholePages(_ bytes: Int) -> Int {
        bytes >= 4 << 20 ? bytes & ~((2 << 20) - 1) : bytes & ~4095
    }

    /// The terms of the memory budget.
    func terms(lanes: Int) -> [MemoryBudget.Term] {
        guard let settings else { return [] }
        var terms = [
            MemoryBudget.Term(
                bytes: lanes * settings.memory,
                reason: "fragments that wait for others, \(lanes) x \(Size.text(settings.memory))")
        ]
        let rings = zip(groups, ringBytes).reduce(0) {
            $0 + FragmentExchange.byteCount(workers: $1.0.count, ringBytes: $1.1)
        }
        if rings > 0 {
            terms.append(MemoryBudget.Term(bytes: rings, reason: "rings for fragments between workers of an interface"))
        }
        return terms
    }

    /// A reassembler for each worker, in memory near it.
    func makeReassemblers(
        _ counters: [Counters], nodes: [Int?], pages: PageKind
    ) throws(SystemError) -> UnsafeMutablePointer<Reassembler> {
        let made = UnsafeMutablePointer<Reassembler>.allocate(capacity: counters.count)
        guard let settings else { return unsafe made }
        let isHuge = settings.memory >= 4 << 20 && pages != .off
        for (lane, counters) in counters.enumerated() {
            let region = try MemoryRegion(
                byteCount: settings.memory, pages: isHuge ? .transparent : .off, node: nodes[lane])
            unsafe (made + lane).initialize(
                to: Reassembler(settings, memory: region.base, seed: seed, counters: counters))
        }
        return unsafe made
    }

    /// An exchange for each worker, in the order of the lanes.
    func makeExchanges() throws(SystemError) -> [FragmentExchange.Slot] {
        var slots: [FragmentExchange.Slot] = []
        for (group, bytes) in zip(groups, ringBytes) {
            if settings == nil {
                for _ in group { slots += try FragmentExchange.make(workers: 1, ringBytes: 0) }
            } else {
                slots += try FragmentExchange.make(workers: group.count, ringBytes: bytes)
            }
        }
        return slots
    }
}
