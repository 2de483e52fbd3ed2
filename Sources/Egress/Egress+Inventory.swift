internal import Machine
internal import Pcapng
internal import SegmentPool
internal import Transfer

/// OWED: what the relay still owes a destination when a session begins.
extension Egress {
    /// The blocks, and how many lists they are.
    func inventory(_ slot: Int) -> (bytes: [UInt8], lists: Int) {
        var lists: [NumberRanges] = []
        var room = TransferLimit.ranges
        for worker in 0..<UInt16(setup.workers) {
            var owed = owedRanges(slot, worker, &room)
            for lane in index.announcedLanes(worker: worker) {
                lists.append(
                    NumberRanges(
                        run: setup.run, worker: worker, lane: lane, mark: mark(slot, worker, lane),
                        owed.removeValue(forKey: lane) ?? []))
            }
        }
        var bytes: [UInt8] = []
        for (place, list) in lists.enumerated() {
            bytes += list.blocks(ControlType.owed, isLast: place == lists.count - 1)
        }
        return (bytes, lists.count)
    }

    /// The mark of a lane for this destination. Lanes that are not its own exclude nothing: batches come from them only
    /// when they are reassigned.
    private func mark(_ slot: Int, _ worker: UInt16, _ lane: UInt16) -> UInt64 {
        index.isOwner(slot, lane: lane) ? index.mark(worker: worker, lane: lane) : 0
    }

    /// What is unsent of a worker, by lane. A list may say more than is owed, so that beyond the limit ranges are joined over
    /// gaps. A lane has one writer, so its numbers come in order.
    private func owedRanges(_ slot: Int, _ worker: UInt16, _ room: inout Int) -> [UInt16: [Range<UInt64>]] {
        var owed: [UInt16: [Range<UInt64>]] = [:]
        for writer in Int(worker) * setup.writersPerWorker..<(Int(worker) + 1) * setup.writersPerWorker {
            var next = index.firstUnsent(slot, worker: writer)
            while let reference = next {
                next = index.nextUnsent(slot, after: reference)
                let (lane, number) = (index.pool.lane(reference), index.pool.number(reference))
                guard index.isOwner(slot, lane: lane) else { continue }
                if let last = owed[lane]?.last, last.upperBound == number || room <= 0 {
                    owed[lane]![owed[lane]!.count - 1] = last.lowerBound..<number + 1
                } else {
                    owed[lane, default: []].append(number..<number + 1)
                    room -= 1
                }
            }
        }
        return owed
    }
}
