/// Which files go when space ends.
extension Catalogue {
    /// The closed file that goes first: owed to nobody, then owed only to destinations that are down, then the oldest of
    /// all. Nil if there is none.
    ///
    /// - Parameter down: one bit for each claimant that is not connected.
    public func oldestToExpire(down: UInt64) -> UInt32? {
        var best: (rank: Int, arrival: UInt64, place: UInt32)?
        for place in 0..<UInt32(used) {
            let file = self[file: place]
            guard case .closed = file.state else { continue }
            let rank = rank(place, down: down)
            if best == nil || (rank, file.lastArrival) < (best!.rank, best!.arrival) {
                best = (rank, file.lastArrival, place)
            }
        }
        return best?.place
    }

    private func rank(_ place: UInt32, down: UInt64) -> Int {
        var owed: UInt64 = 0
        for claimant in 0..<claimantCount where owedPackets(claimant, in: place) > 0 { owed |= 1 << UInt64(claimant) }
        return owed == 0 ? 0 : owed & ~down == 0 ? 1 : 2
    }

    /// The open file with the oldest batches; nil if no open file has any.
    public var oldestOpen: UInt32? {
        let open = (0..<UInt32(used)).filter { self[file: $0].state == .open && self[file: $0].batches > 0 }
        return open.min { self[file: $0].lastArrival < self[file: $1].lastArrival }
    }
}
