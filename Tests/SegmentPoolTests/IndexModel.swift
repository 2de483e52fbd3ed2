import SegmentPool

/// What the index must say, worked out with arrays and dictionaries.
struct IndexModel {
    /// A batch that was taken in.
    struct Batch {
        let worker: Int
        /// The hand-out its segment belongs to.
        let handOut: Int
        let reference: BatchReference
        let number: Int
        let packets: Int
        let arrival: UInt64
        let bytes: [UInt8]
    }

    /// What became of a batch for one slot; a settled one is not listed.
    enum State { case unsent, inFlight }

    /// A destination.
    struct Slot {
        var holds: Bool
        var isPinned: Bool
        private(set) var states: [Int: State] = [:]
        /// How many batches of each hand-out are owed, and in flight.
        private(set) var owed: [Int: Int] = [:]
        private(set) var inFlight: [Int: Int] = [:]

        init(holds: Bool) { (self.holds, isPinned) = (holds, false) }

        mutating func set(_ batch: Int, of handOut: Int, _ state: State?) {
            let before = states[batch]
            states[batch] = state
            owed[handOut, default: 0] += (state == nil ? 0 : 1) - (before == nil ? 0 : 1)
            inFlight[handOut, default: 0] += (state == .inFlight ? 1 : 0) - (before == .inFlight ? 1 : 0)
        }
    }

    /// A segment between its being handed out and its being free again.
    struct Segment {
        let worker: Int
        var number: UInt32?
        var isSealed = false
    }

    /// Segments that may be used.
    var segmentCount: Int
    private(set) var batches: [Batch] = []
    private(set) var slots: [Slot?]
    /// Segments in use by hand-out, and the hand-outs of each worker that are not completely taken in.
    private(set) var inUse: [Int: Segment] = [:]
    private(set) var queues: [[Int]]
    private var handOuts = 0

    init(segments: Int, slots: Int, workers: Int) {
        segmentCount = segments
        self.slots = Array(repeating: nil, count: slots)
        queues = Array(repeating: [], count: workers)
    }

    var freeSegments: Int { segmentCount - inUse.count }
    func canHandOut(_ worker: Int) -> Bool { freeSegments > 0 && queues[worker].count < 3 }

    mutating func handOut(_ worker: Int) {
        inUse[handOuts] = Segment(worker: worker)
        queues[worker].append(handOuts)
        handOuts += 1
    }

    /// A batch came in; false if its segment cannot be the worker's present one.
    mutating func add(
        worker: Int, _ reference: BatchReference, number: Int, packets: Int, arrival: UInt64, bytes: [UInt8]
    ) -> Bool {
        let handOut = queues[worker][0]
        if let number = inUse[handOut]!.number {
            guard number == reference.segment else { return false }
        } else {
            guard !inUse.values.contains(where: { $0.number == reference.segment }) else { return false }
            inUse[handOut]!.number = reference.segment
        }
        for slot in slots.indices { slots[slot]?.set(batches.count, of: handOut, .unsent) }
        batches.append(
            Batch(
                worker: worker, handOut: handOut, reference: reference, number: number, packets: packets,
                arrival: arrival, bytes: bytes))
        return true
    }

    /// The worker's present segment is completely taken in and left.
    mutating func leaveSegment(_ worker: Int) {
        let handOut = queues[worker].removeFirst()
        inUse[handOut]!.isSealed = true
        freeIfDone(handOut)
    }

    mutating func join(_ slot: Int, holds: Bool) { slots[slot] = Slot(holds: holds) }
    mutating func pin(_ slot: Int) { slots[slot]!.isPinned = true }

    mutating func set(_ slot: Int, _ batch: Int, _ state: State?) {
        slots[slot]!.set(batch, of: batches[batch].handOut, state)
        freeIfDone(batches[batch].handOut)
    }

    mutating func leave(_ slot: Int) {
        let owed = slots[slot]!.owed.keys
        slots[slot] = nil
        for handOut in owed { freeIfDone(handOut) }
    }

    private mutating func freeIfDone(_ handOut: Int) {
        guard inUse[handOut]?.isSealed == true, !isOwed(handOut, by: { _ in true }) else { return }
        inUse[handOut] = nil
    }

    func isOwed(_ handOut: Int, by chosen: (Slot) -> Bool) -> Bool {
        slots.contains { slot in
            guard let slot, chosen(slot) else { return false }
            return slot.owed[handOut, default: 0] > 0
        }
    }

    /// Segments that their worker has left, in which a slot has something unsent or in flight.
    func owedSegments(_ slot: Int) -> Int {
        inUse.keys.count { inUse[$0]!.isSealed && slots[slot]!.owed[$0, default: 0] > 0 }
    }

    private func isLent(_ handOut: Int) -> Bool {
        slots.contains { slot in
            guard let slot, slot.isPinned else { return false }
            return slot.inFlight[handOut, default: 0] > 0
        }
    }

    /// A slot's batches in this state, oldest first.
    func batches(_ slot: Int, _ state: State) -> [Int] {
        slots[slot]!.states.filter { $0.value == state }.map(\.key).sorted {
            let (left, right) = (batches[$0], batches[$1])
            return (left.arrival, left.number, left.worker) < (right.arrival, right.number, right.worker)
        }
    }

    /// The segment to empty.
    func victim(evenHeld: Bool) -> UInt32? {
        let candidates = inUse.keys.sorted().filter { inUse[$0]!.isSealed && !isLent($0) }
        let loose = candidates.first { !isOwed($0, by: \.holds) }
        return (loose ?? (evenHeld ? candidates.first : nil)).flatMap { inUse[$0]!.number }
    }

    /// The segment that is owed to nobody else who holds.
    func victim(owedOnlyTo mask: UInt64) -> UInt32? {
        inUse.keys.sorted().first { handOut in
            guard inUse[handOut]!.isSealed, !isLent(handOut) else { return false }
            return !slots.indices.contains { slot in
                guard let state = slots[slot], state.holds, mask >> UInt64(slot) & 1 == 0 else { return false }
                return state.owed[handOut, default: 0] > 0
            }
        }.flatMap { inUse[$0]!.number }
    }
}
