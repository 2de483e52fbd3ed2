internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache

/// Destinations that join a run which has a cache, leave it, or take over what others are owed on disk. Control plane.
extension Egress {
    /// A destination that was added may from now on be owed things on disk.
    mutating func joinCache(_ place: Int, _ plan: DestinationPlan) {
        guard let cache, let disk = unsafe connections[place].disk,
            let claimant = care.connections.firstIndex(of: place)
        else { return }
        unsafe disk.pointee.restart(newestFirst: plan.newestFirst)
        index.allowSpill(unsafe connections[place].slot)
        (care.names[claimant], care.had[claimant]) = (plan.name, BatchSet())
        // What comes into a file is owed to those whom its note names.
        for place in 0..<UInt32(cache.catalogue.used) where cache.catalogue[file: place].state == .open {
            cache.catalogue[file: place].isDirty = true
        }
        if !care.hasBegunNotes { claimEarlier(claimant, cache) }
        care.hasNotes = true
        if cache.setup.known?.greeted.contains(plan.name) == true { care.greeted.insert(plan.name) }
        unsafe connections[place].hasGreeted = care.greeted.contains(plan.name)
    }

    /// A destination leaves for good: its claims are released, and its name means nothing any more.
    mutating func leaveCache(_ place: Int) {
        guard let cache, let claimant = care.connections.firstIndex(of: place) else { return }
        let lost = cache.catalogue.release(claimant)
        unsafe connections[place].counters.add(.droppedRemoved, lost)
        unsafe connections[place].counters.set(.onDisk, 0)
        unsafe connections[place].leaveDisk()
        (care.names[claimant], care.had[claimant]) = ("", BatchSet())
        care.staying = care.staying.filter { $0.key.claimant != claimant }
        noteNames(cache)
    }

    /// Everything there is is owed to a destination that asked for it. What lies on disk comes from there, even if it is
    /// still in memory for others.
    mutating func oweBacklog(_ place: Int) {
        let slot = unsafe connections[place].slot
        var packets = index.oweAll(slot)
        let (onDisk, owed) = oweAllOnDisk(place)
        for writer in 0..<writers where !onDisk.isEmpty {
            var next = index.firstUnsent(slot, worker: writer)
            while let reference = next {
                next = index.nextUnsent(slot, after: reference)
                let pool = index.pool
                let lane = BatchLane(run: setup.run, worker: pool.worker(reference), lane: pool.lane(reference))
                guard onDisk.contains(lane, pool.number(reference)) else { continue }
                index.drop(slot, reference)
                packets -= UInt64(pool.packets(reference))
            }
        }
        unsafe connections[place].unsentPackets += packets
        unsafe connections[place].counters.add(.carriedIn, packets + owed)
    }

    /// Owes it all files but those it has been given a part of as they were found; which batches of the present run these hold,
    /// and how many packets all hold.
    private func oweAllOnDisk(_ place: Int) -> (BatchSet, UInt64) {
        var (present, packets) = (BatchSet(), UInt64(0))
        guard let cache, let disk = unsafe connections[place].disk else { return (present, 0) }
        let (catalogue, claimant) = unsafe (cache.catalogue, disk.pointee.claimant)
        for place in 0..<UInt32(catalogue.used) {
            let file = catalogue[file: place]
            guard file.state == .open || file.state == .closed, file.batches > 0, care.earlier[place] == nil else {
                continue
            }
            catalogue.oweAll(claimant, place)
            packets += catalogue.owedPackets(claimant, in: place)
            guard file.run == setup.run else { continue }
            if file.map >= 0 {
                for batch in catalogue.batches(of: place) {
                    present.insert(BatchLane(run: file.run, worker: batch.worker, lane: batch.lane), batch.number)
                }
            } else {
                for range in footerRanges(file, cache) ?? [] { present.insert(range) }
            }
        }
        return (present, packets)
    }

    /// The other side has refused the runs it was told of: it knows one of the earlier ones by other names. From now on it is
    /// only told of the present one.
    mutating func leaveEarlier(_ place: Int) {
        guard let cache, let disk = unsafe connections[place].disk else { return }
        unsafe connections[place].leavesEarlier = true
        unsafe cache.catalogue.leaveEarlier(disk.pointee.claimant, true)
        let packets = unsafe cache.catalogue.earlierPackets(disk.pointee.claimant)
        setup.log(
            "\(name(place)): \(packets) packets of earlier runs stay in the cache; they go where they were offered first only"
                + " under the --name and name= of then")
    }

    /// Another address: it may take what the one before refused.
    mutating func offerEarlier(_ place: Int) {
        unsafe connections[place].leavesEarlier = false
        if let cache, let disk = unsafe connections[place].disk {
            unsafe cache.catalogue.leaveEarlier(disk.pointee.claimant, false)
        }
    }

    // ---- sharing -------------------------------------------------------------------------------------------------

    /// Hands a destination's own batches on disk over to others by turns, as far as they are known one by one; of files that
    /// must be looked into first, one is asked for. Those of earlier runs stay: the others were told that they never come.
    mutating func reassignOnDisk(_ place: Int, to others: [Int], withTakenOver: Bool) {
        guard let cache, let disk = unsafe connections[place].disk else { return }
        let (catalogue, claimant) = unsafe (cache.catalogue, disk.pointee.claimant)
        guard catalogue.unsentBatches(claimant) > 0 else { return }
        let heirs = others.filter { unsafe connections[$0].disk != nil }
        var moved = 0
        for file in 0..<UInt32(catalogue.used) where !heirs.isEmpty && catalogue.unsentBatches(claimant, in: file) > 0 {
            let entry = catalogue[file: file]
            let key = CacheCare.Claim(claimant: claimant, file: file)
            guard entry.state == .open || entry.state == .closed, entry.run == setup.run,
                care.staying[key] != catalogue.unsentBatches(claimant, in: file)
            else { continue }
            guard entry.map >= 0 else {
                catalogue.want(claimant, file)
                continue
            }
            for (ordinal, batch) in catalogue.batches(of: file).enumerated() {
                let target = DiskPlace(file: file, ordinal: UInt32(ordinal))
                guard catalogue.isUnsent(claimant, target) else { continue }
                let heir = heirs[moved % heirs.count]
                if handOver(batch, target, from: place, to: heir, cache, withTakenOver) { moved += 1 }
            }
            care.staying[key] = catalogue.unsentBatches(claimant, in: file)
        }
        guard moved > 0 else { return }
        setup.log("\(name(place)): \(moved) batches on disk go to others, too")
        notePassing()
    }

    /// False if the batch has been the heir's before, or if it was taken over itself and stays.
    private func handOver(
        _ batch: DiskBatch, _ target: DiskPlace, from place: Int, to heir: Int, _ cache: CacheSide,
        _ withTakenOver: Bool
    ) -> Bool {
        let (source, other) = unsafe (connections + place, connections + heir)
        let isOwn = unsafe index.isOwner(source.pointee.slot, lane: batch.lane)
        guard isOwn || withTakenOver && !index.isOwner(unsafe other.pointee.slot, lane: batch.lane),
            let from = unsafe source.pointee.disk, let to = unsafe other.pointee.disk
        else { return false }
        unsafe cache.catalogue.move(
            target, from: from.pointee.claimant, to: to.pointee.claimant, packets: batch.packets)
        unsafe source.pointee.counters.add(.handedOver, UInt64(batch.packets))
        unsafe other.pointee.counters.add(.takenOver, UInt64(batch.packets))
        return true
    }
}
