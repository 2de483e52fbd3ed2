/// How full memory is: sweep and admission go by the same count.
///
/// What writers have in hand is not part of it. It is always there, however little comes in, and of a pool of few large
/// segments it is most of all.
extension BatchIndex {
    /// Segments that writers have left and that are not free again; those on their way to disk are among them.
    public var occupiedSegments: Int { @_noLocks get { max(0, usedSegments - handedOut) } }

    /// Of these, how many hold something that this destination has not been sent or has not acknowledged.
    @_noLocks public func owedSegments(_ slot: Int) -> Int {
        var (segment, count) = (ring.oldest, 0)
        while segment != noSegment {
            let entry = unsafe share(slot, segment).pointee
            if unsafe state(segment).pointee.sealed, entry.unsent + entry.inFlight > 0 { count += 1 }
            if segment == ring.newest { break }
            segment = unsafe state(segment).pointee.newer
        }
        return count
    }

    /// How many can be occupied while every writer has all it may have in hand.
    public var occupiableSegments: Int { pool.count - workers * segmentsInHand }

    /// How many of those in hand writers can do without for a moment: all but the one being filled and the next.
    public var spareInHand: Int { workers * (segmentsInHand - 2) }
}
