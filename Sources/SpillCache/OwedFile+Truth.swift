internal import Pcapng

/// Whether a note can be true. One that is not counts as none.
extension OwedFile {
    /// Whether it agrees with itself: nobody is owed what the file did not have, a packet at least for each batch, and of all
    /// batches all packets.
    var isSound: Bool {
        guard batches <= Catalogue.batchesPerFile, packets >= batches, packets <= UInt64(batches) << 32,
            Set(destinations.map(\.name)).count == destinations.count
        else { return false }
        return destinations.allSatisfy { one in
            let owed = one.bits.reduce(UInt64(0)) { $0 + UInt64($1.nonzeroBitCount) }
            let isWithin = one.bits.enumerated().allSatisfy {
                $0.element == 0 || 64 * $0.offset + 64 - $0.element.leadingZeroBitCount <= Int(batches)
            }
            return isWithin && one.packets <= packets && (owed == 0 ? one.packets == 0 : one.packets >= owed)
                && (owed < batches || one.packets == packets)
        }
    }

    /// Whether it can be about a file with so many batches and packets.
    func canSpeak(of count: UInt64, packets all: UInt64) -> Bool {
        guard batches <= count, packets <= all else { return false }
        return count == UInt64(batches) ? all == packets : all - packets >= count - UInt64(batches)
    }

    /// Whether what it says of the first batches is what these are.
    func agrees(with found: [FoundBatch]) -> Bool {
        guard Int(batches) <= found.count else { return false }
        let first = found.prefix(Int(batches))
        func sum(_ isCounted: (UInt32) -> Bool) -> UInt64 {
            first.enumerated().reduce(0) { $0 + (isCounted(UInt32($1.offset)) ? UInt64($1.element.packets) : 0) }
        }
        return sum { _ in true } == packets && destinations.allSatisfy { one in sum(one.isOwed) == one.packets }
    }
}
