internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache
internal import Transfer

/// OWED: what the relay still owes a destination when a session begins, in memory, on its way to disk, and on disk.
extension Egress {
    /// The blocks, and how many lists they are.
    func inventory(_ place: Int) -> (bytes: [UInt8], lists: Int) {
        let slot = unsafe connections[place].slot
        var owed = owedInMemory(slot)
        // Where destinations can be taken out and added again, with backlog=all: nobody is told that what it may then be owed
        // never comes. A list may say more than is owed.
        if setup.limits.spareConnections > 0 {
            addHeld(to: &owed)
            if let cache { addOnDisk(of: nil, cache, to: &owed) }
        } else if let cache, let claimant = care.connections.firstIndex(of: place) {
            addOnDisk(of: claimant, cache, to: &owed)
        }
        let runs = talks[place].runs.isEmpty ? [setup.run] : talks[place].runs
        var lanes = Set(owed.lanes)
        for worker in 0..<UInt16(setup.workers) {
            for lane in index.announcedLanes(worker: worker) {
                lanes.insert(BatchLane(run: setup.run, worker: worker, lane: lane))
            }
        }
        for lane in care.marks.keys { lanes.insert(lane) }
        // A list may say more than is owed, so that beyond the limit ranges are joined over gaps.
        let isTooLong = owed.rangeCount > TransferLimit.ranges
        let lists = lanes.filter { runs.contains($0.run) }.sorted().map { lane in
            let ranges = isOwn(lane, slot) ? owed.ranges(of: lane) : []
            var joined = isTooLong && ranges.count > 1 ? [ranges[0].lowerBound..<ranges.last!.upperBound] : ranges
            let mark = mark(lane, slot)
            // What is below the mark and is not named never comes; of this run something may be found again.
            if mark > 0, care.incomplete.contains(lane.run) { joined = [0..<mark] }
            return NumberRanges(run: lane.run, worker: lane.worker, lane: lane.lane, mark: mark, joined)
        }
        var bytes: [UInt8] = []
        for (number, list) in lists.enumerated() {
            bytes += list.blocks(ControlType.owed, isLast: number == lists.count - 1)
        }
        return (bytes, lists.count)
    }

    /// Lanes that are not its own exclude nothing: batches come from them only when they are reassigned.
    private func isOwn(_ lane: BatchLane, _ slot: Int) -> Bool {
        lane.run != setup.run || index.isOwner(slot, lane: lane.lane)
    }

    private func mark(_ lane: BatchLane, _ slot: Int) -> UInt64 {
        guard lane.run == setup.run else { return care.marks[lane] ?? 0 }
        return index.isOwner(slot, lane: lane.lane) ? index.mark(worker: lane.worker, lane: lane.lane) : 0
    }

    private func owedInMemory(_ slot: Int) -> BatchSet {
        var owed = BatchSet()
        func add(_ reference: BatchReference) {
            let pool = index.pool
            owed.insert(
                BatchLane(run: setup.run, worker: pool.worker(reference), lane: pool.lane(reference)),
                pool.number(reference))
        }
        for writer in 0..<writers {
            var next = index.firstUnsent(slot, worker: writer)
            while let reference = next {
                add(reference)
                next = index.nextUnsent(slot, after: reference)
            }
        }
        guard let line = unsafe spill else { return owed }
        for segment in unsafe line.pointee.segmentsUnderWay {
            for ordinal in 0..<index.batchCount(of: segment) {
                let reference = BatchReference(segment: segment, ordinal: ordinal)
                if index.isUnsent(slot, reference) { add(reference) }
            }
        }
        return owed
    }

    /// What a claimant is owed of the files, or all that is in them.
    private func addOnDisk(of claimant: Int?, _ cache: CacheSide, to owed: inout BatchSet) {
        let catalogue = cache.catalogue
        for place in 0..<UInt32(catalogue.used) {
            let file = catalogue[file: place]
            if let claimant {
                guard catalogue.owedPackets(claimant, in: place) > 0 else { continue }
            } else {
                guard file.state == .open || file.state == .closed else { continue }
            }
            if file.map >= 0 {
                for (ordinal, batch) in catalogue.batches(of: place).enumerated()
                where claimant.map({ catalogue.isUnsent($0, DiskPlace(file: place, ordinal: UInt32(ordinal))) }) ?? true
                {
                    owed.insert(BatchLane(run: file.run, worker: batch.worker, lane: batch.lane), batch.number)
                }
            } else if let ranges = care.ranges[place] ?? footerRanges(file, cache) {
                for range in ranges { owed.insert(range) }
            } else {
                // Of a file that cannot be looked into now everything may be owed.
                for worker in 0..<UInt16(setup.workers) {
                    for lane in index.announcedLanes(worker: worker) {
                        let mark = index.mark(worker: worker, lane: lane)
                        owed.insert(
                            BatchRange(BatchLane(run: setup.run, worker: worker, lane: lane), first: 0, count: mark))
                    }
                }
            }
        }
    }

    /// All that memory has, whoever is owed it.
    private func addHeld(to owed: inout BatchSet) {
        let (pool, run) = (index.pool, setup.run)
        index.forEachHeld { reference in
            let lane = BatchLane(run: run, worker: pool.worker(reference), lane: pool.lane(reference))
            owed.insert(lane, pool.number(reference))
        }
    }

    func footerRanges(_ file: CatalogueFile, _ cache: CacheSide) -> [BatchRange]? {
        (try? CacheReader.footer(file.name.sealed, in: cache.setup.directory))?.ranges
    }

    /// What a destination has of what is on disk: settled now where the batches are known, else when they are looked at.
    mutating func takeHaveOnDisk(_ have: RangeBlock, _ place: Int) {
        guard let cache, have.count > 0, let claimant = care.connections.firstIndex(of: place) else { return }
        let lane = BatchLane(run: have.run, worker: have.worker, lane: have.lane)
        for number in 0..<have.count {
            let (first, end) = have.range(number)
            care.had[claimant].insert(BatchRange(lane, first: first, count: end - first))
        }
        for file in 0..<UInt32(cache.catalogue.used) where cache.catalogue[file: file].run == have.run {
            settleHad(claimant, in: file, cache)
        }
    }
}
