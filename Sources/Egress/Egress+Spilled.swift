internal import CMachine
internal import Machine
internal import SegmentPool
internal import SpillCache

/// What the spill thread says: batches that are on disk are owed from there.
extension Egress {
    /// Takes what there is; returns how much that was.
    @_noLocks mutating func takeSpilled(now: UInt64) -> Int {
        guard let line = unsafe spill else { return 0 }
        let catalogue = unsafe line.pointee.catalogue
        var taken = 0
        while let result = unsafe line.pointee.nextResult() {
            taken += 1
            switch result.kind {
            case .begun:
                let place = catalogue.begin(
                    run: stream.run, number: result.number, start: result.offset, descriptor: result.descriptor)
                if place == nil, result.descriptor >= 0 { spillway_close(result.descriptor) }
                unsafe line.pointee.begun &+= 1
            case .written:
                moveOut(result, catalogue)
                unsafe line.pointee.failure = 0
                unsafe line.pointee.mayHurry = true
            case .failed:
                unsafe line.pointee.failure = result.failure
                unsafe line.pointee.mayFree = true
                dropKept(result.first, count: result.count)
                unsafe line.pointee.nextTry = now &+ 1_000_000_000
            case .closed:
                if let place = catalogue.openFile(number: result.number) { catalogue.close(place) }
            case .swept:
                unsafe line.pointee.isBack(result.first.segment)
                index.takeBack(result.first.segment)
            case .ended: break
            }
        }
        unsafe line.pointee.releaseResults()
        if taken > 0 { unsafe line.pointee.lastAnswer = now }
        return taken
    }

    /// Batches lie on disk one behind the other: from now on they are owed from there.
    @_noLocks private mutating func moveOut(_ result: SpillResult, _ catalogue: Catalogue) {
        // Without room in the catalogue the batches stay where they are; what is in the file is not missed.
        guard let file = catalogue.openFile(number: result.number) else { return }
        let pool = index.pool
        var start = DiskPlace.none
        var (reference, offset) = (result.first, result.offset)
        while reference.ordinal < result.first.ordinal + result.count {
            let bytes = unsafe pool.batch(reference).count
            let packets = pool.packets(reference)
            let place = catalogue.append(
                DiskBatch(
                    offset: offset, arrival: pool.lastArrival(reference), number: pool.number(reference),
                    bytes: UInt32(truncatingIfNeeded: bytes), packets: packets, worker: pool.worker(reference),
                    lane: pool.lane(reference)), to: file)
            if !start.isSomewhere { start = place }
            moveOut(reference, to: place, packets: packets, catalogue)
            offset += UInt64(bytes)
            spilledBytes &+= UInt64(bytes)
            reference.ordinal += 1
        }
        var place = 0
        while place < connectionCount {
            let connection = unsafe connections + place
            unsafe connection.pointee.moveInFlight(from: result.first, count: result.count, to: start, &index)
            place += 1
        }
    }

    /// What cannot be written is not kept: keeping is not owing.
    @_noLocks private mutating func dropKept(_ first: BatchReference, count: UInt32) {
        var reference = first
        while keepSlot >= 0, reference.ordinal < first.ordinal + count {
            if index.isUnsent(keepSlot, reference) { index.drop(keepSlot, reference) }
            reference.ordinal += 1
        }
    }

    @_noLocks private mutating func moveOut(
        _ reference: BatchReference, to target: DiskPlace, packets: UInt32, _ catalogue: Catalogue
    ) {
        if keepSlot >= 0, index.isUnsent(keepSlot, reference) { index.drop(keepSlot, reference) }
        var place = 0
        while place < connectionCount {
            let destination = unsafe connections + place
            if let disk = unsafe destination.pointee.disk, unsafe index.isUnsent(destination.pointee.slot, reference) {
                index.drop(unsafe destination.pointee.slot, reference)
                unsafe catalogue.owe(disk.pointee.claimant, target, packets: packets, isUnsent: true)
                unsafe destination.pointee.unsentPackets -= UInt64(packets)
                unsafe destination.pointee.counters.add(.spilled, UInt64(packets))
            }
            place += 1
        }
    }
}
