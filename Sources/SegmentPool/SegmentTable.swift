/// Nobody, in a list of segments.
var noSegment: UInt32 { @_noLocks get { .max } }

/// What the index knows of a segment.
struct SegmentState: BitwiseCopyable {
    /// Neighbours in the circular list of all segments, ordered by when they were handed out.
    var newer: UInt32 = 0
    var older: UInt32 = 0
    /// When it was handed out, counted in hand-outs; orders the segments of a worker.
    var age: UInt64 = 0
    /// The worker that fills or filled it.
    var worker: UInt16 = 0
    /// Handed out and not yet free again.
    var inUse = false
    /// The worker has left it.
    var sealed = false
    /// Batches taken in so far.
    var batches: UInt32 = 0
    /// Being written to disk: not to be freed, and not offered to those who can be served from there.
    var isLent = false
    /// Batches still owed, summed over the destinations that hold memory, and over those that do not.
    var owedHeld: UInt32 = 0
    var owedLoose: UInt32 = 0
}

/// What the index knows of a segment for one destination: its place in that destination's own list.
struct Share: BitwiseCopyable {
    var newer: UInt32 = noSegment
    var older: UInt32 = noSegment
    /// Batches the destination has not been sent.
    var unsent: UInt32 = 0
    /// Batches sent and not yet acknowledged.
    var inFlight: UInt32 = 0
}

/// The circular list of segments: in use from oldest to newest, then free, back to the oldest.
///
/// Segments leave the middle when newest-first delivery empties them before older ones; the list makes that O(1).
@safe struct SegmentRing: ~Copyable {
    let states: UnsafeMutablePointer<SegmentState>
    let count: Int
    /// The newest and the oldest segment in use; the free ones lie between them. `noSegment` if none is in use.
    private(set) var newest = noSegment
    private(set) var oldest = noSegment
    private(set) var freeCount: Int
    /// Segments in the ring that may be used; the others are not touched yet and lie at the far end of the free ones.
    private(set) var available: Int
    private var handOuts: UInt64 = 0
    /// A free segment from which to continue when none is in use.
    private var anchor: UInt32 = 0

    init(states: UnsafeMutablePointer<SegmentState>, count: Int, available: Int) {
        unsafe self.states = states
        self.count = count
        (freeCount, self.available) = (available, available)
        for index in 0..<count {
            let number = UInt32(index)
            unsafe states[index] = SegmentState()
            unsafe states[index].newer = number + 1 == count ? 0 : number + 1
            unsafe states[index].older = number == 0 ? UInt32(count - 1) : number - 1
        }
    }

    /// More segments have been touched: so many of the first may be used now.
    @_noLocks mutating func makeAvailable(_ total: Int) {
        freeCount += total - available
        available = total
    }

    /// Takes the next free segment for a worker, or `noSegment`.
    @_noLocks mutating func handOut(to worker: UInt16) -> UInt32 {
        guard freeCount > 0 else { return noSegment }
        let segment = unsafe newest == noSegment ? anchor : states[Int(newest)].newer
        freeCount -= 1
        handOuts += 1
        newest = segment
        if oldest == noSegment { oldest = segment }
        let links = unsafe (states[Int(segment)].newer, states[Int(segment)].older)
        var state = SegmentState()
        (state.newer, state.older) = links
        state.age = handOuts
        state.worker = worker
        state.inUse = true
        unsafe states[Int(segment)] = state
        return segment
    }

    /// Puts a segment in use back among the free ones.
    @_noLocks mutating func giveBack(_ segment: UInt32) {
        let index = Int(segment)
        unsafe states[index].inUse = false
        freeCount += 1
        let (newer, older) = unsafe (states[index].newer, states[index].older)
        switch (segment == newest, segment == oldest) {
        case (true, true): (newest, oldest, anchor) = (noSegment, noSegment, segment)
        // It borders on the free segments, so that moving the end is enough.
        case (true, false): newest = older
        case (false, _):
            // Out of its place, and in again right behind the newest, to be used next while it is still in the cache.
            if segment == oldest { oldest = newer }
            unsafe states[Int(newer)].older = older
            unsafe states[Int(older)].newer = newer
            let next = unsafe states[Int(newest)].newer
            unsafe states[index].older = newest
            unsafe states[index].newer = next
            unsafe states[Int(next)].older = segment
            unsafe states[Int(newest)].newer = segment
        }
    }
}
