internal import Glibc
internal import Machine
internal import Pcapng
internal import Sending
internal import SpillCache

/// What earlier lives have left, and files whose batches must be known again. Control plane.
extension Egress {
    /// Takes in the files that were found, and what each destination is owed of them.
    mutating func takeInEarlier() {
        guard let cache else { return }
        for place in 0..<connectionCount where unsafe connections[place].ownDisk != nil {
            // Places for destinations that may be added have no name yet.
            let name = unsafe connections[place].isSpare ? "" : setup.plans[connections[place].plan].name
            care.names.append(name)
            care.connections.append(place)
            care.had.append(BatchSet())
            unsafe connections[place].hasGreeted = cache.setup.known?.greeted.contains(name) == true
        }
        for file in cache.setup.earlier { takeIn(file, cache) }
        care.former = Set(cache.setup.known?.names ?? [])
        for claimant in care.names.indices where !care.names[claimant].isEmpty { claimEarlier(claimant, cache) }
        for (place, file) in care.earlier {
            let isFormers = file.owed?.destinations.contains { $0.packets > 0 } == true
            if isFormers || !cache.catalogue.isOwed(place) { care.held.insert(place) }
        }
        care.hasNotes = !care.presentNames.isEmpty || cache.setup.keep != nil
        let count = cache.setup.earlier.count
        if !care.hasNotes, count > 0 {
            setup.log(
                "--spill: no destination of this run waits on disk; \(count) files of earlier runs stay as they are")
        }
    }

    private mutating func takeIn(_ file: EarlierFile, _ cache: CacheSide) {
        guard let place = cache.catalogue.add(file, runPlace: care.place(of: file.name.run)) else {
            setup.log("--spill: \(file.name.sealed): more files than there is room for; it waits for the next run")
            return
        }
        care.ranges[place] = file.ranges
        for range in file.ranges {
            care.marks[range.lane] = max(care.marks[range.lane] ?? 0, range.first + range.count)
        }
        care.earlier[place] = file
    }

    /// A destination takes what earlier lives have left for its name. One that they did not know begins now, unless it asks
    /// for all; where nobody knows who there was, all of a file is everybody's.
    mutating func claimEarlier(_ claimant: Int, _ cache: CacheSide) {
        let name = care.names[claimant]
        let destination = unsafe connections + care.connections[claimant]
        let isNew = care.former.remove(name) == nil
        let takesAll = unsafe isNew && setup.plans[destination.pointee.plan].takesBacklog
        let counters = unsafe destination.pointee.counters
        for (place, file) in care.earlier {
            if let part = care.earlier[place]?.takePart(of: name) {
                cache.catalogue.oweMany(
                    claimant, place, bits: part.bits, known: UInt32(file.summary.batches), packets: part.packets)
            } else if file.owed == nil || takesAll {
                cache.catalogue.oweMany(claimant, place, bits: [], known: 0, packets: file.summary.packets)
                care.earlier[place]?.isOwedMore()
            }
            counters.add(.carriedIn, cache.catalogue.owedPackets(claimant, in: place))
        }
        let lost = cache.setup.lost[name] ?? 0
        counters.add(.carriedIn, lost)
        counters.add(.droppedCacheDamage, lost)
        if cache.setup.known?.greeted.contains(name) == true { care.greeted.insert(name) }
    }

    // ---- maps ----------------------------------------------------------------------------------------------------

    /// Asks for what destinations wait for, and takes what has come.
    ///
    /// - Parameter looksAhead: whether it is looked for what will be waited for next.
    mutating func recallMaps(_ cache: CacheSide, looksAhead: Bool) {
        for claimant in care.names.indices {
            var next = cache.catalogue.wanted(claimant)
            if next == nil, looksAhead {
                let isNewestFirst = unsafe connections[care.connections[claimant]].newestFirst
                next = cache.catalogue.following(claimant, newestFirst: isNewestFirst)
                if let next { care.ahead[claimant] = next }
            }
            guard let place = next, care.recalled.insert(place).inserted else { continue }
            let file = cache.catalogue[file: place]
            let expected = CacheRecall.Expected(
                run: file.run, batches: file.batches, packets: file.packets,
                ranges: file.runPlace == 0 ? nil : care.ranges[place] ?? [])
            cache.recall.post(
                CacheRecall.Request(place: place, name: file.name, end: file.end, expected: expected))
        }
        for answer in cache.recall.take() { install(answer, cache) }
    }

    private mutating func install(_ answer: CacheRecall.Answer, _ cache: CacheSide) {
        let place = answer.request.place
        care.recalled.remove(place)
        let catalogue = cache.catalogue
        var file = catalogue[file: place]
        func letGo() { if answer.descriptor >= 0 { close(answer.descriptor) } }
        // It may be gone by now, and another one in its place.
        if case .vacant = file.state { return letGo() }
        guard file.name == answer.request.name, file.map < 0 else { return letGo() }
        if let problem = answer.problem {
            return giveUp(place, cache, "\(problem)")
        }
        // More was written meanwhile.
        guard file.end == answer.request.end else { return letGo() }
        reconcile(place, answer, cache)
        file = catalogue[file: place]
        if file.runPlace != 0, let description = answer.description { describe(&file, description) }
        catalogue[file: place] = file
        giveBackMap(cache)
        cache.tools.adopt(answer.descriptor)
        let former = file.descriptor
        guard catalogue.install(answer.batches, at: place, descriptor: answer.descriptor) else { return letGo() }
        // Nobody is sent from a file without a map.
        if former >= 0 { close(former) }
        for claimant in care.names.indices {
            recount(claimant, in: place, cache)
            settleHad(claimant, in: place, cache)
        }
    }

    /// A note whose sums were wrong has been believed: what is there counts.
    private func recount(_ claimant: Int, in place: UInt32, _ cache: CacheSide) {
        guard let before = cache.catalogue.recount(claimant, place) else { return }
        let counters = unsafe connections[care.connections[claimant]].counters
        let packets = cache.catalogue.owedPackets(claimant, in: place)
        if packets > before {
            counters.add(.carriedIn, packets - before)
        } else {
            counters.add(.droppedCacheDamage, before - packets)
        }
        setup.log(
            "--spill: \(cache.catalogue[file: place].name): \(care.names[claimant]) is owed \(packets) packets of it, not"
                + " \(before) as was written down")
    }

    /// A closed file that nobody is being sent from gives back its map and its descriptor, where few maps are free.
    private func giveBackMap(_ cache: CacheSide) {
        guard let place = cache.catalogue.leastUseful(spare: 1, except: Set(care.ahead.values)),
            isUnused(cache.catalogue[file: place].descriptor)
        else { return }
        let descriptor = cache.catalogue.unload(place)
        if descriptor >= 0 { close(descriptor) }
    }

    /// Closed files that nobody is being sent from keep no descriptor: there may be thousands of them.
    func giveBack(_ cache: CacheSide) {
        giveBackMap(cache)
        for place in 0..<UInt32(cache.catalogue.used) {
            var file = cache.catalogue[file: place]
            guard case .closed = file.state, file.map < 0, file.descriptor >= 0, isUnused(file.descriptor) else {
                continue
            }
            close(file.descriptor)
            file.descriptor = -1
            cache.catalogue[file: place] = file
        }
    }

    /// The batches of a file are known: if not all of them are good, what is good is owed as before, and the rest is lost.
    private mutating func reconcile(_ place: UInt32, _ answer: CacheRecall.Answer, _ cache: CacheSide) {
        let catalogue = cache.catalogue
        var file = catalogue[file: place]
        let good = Array(answer.batches.prefix(Catalogue.batchesPerFile))
        guard good.count != Int(file.batches) else { return }
        setup.log("--spill: \(file.name): \(good.count) of \(file.batches) batches are good")
        (file.batches, file.packets) = (UInt32(good.count), good.reduce(0) { $0 + UInt64($1.packets) })
        (file.isDamaged, file.isDirty) = (true, true)
        // Without its head nothing in a file can be understood; that is no reason to throw it away.
        if good.isEmpty, answer.request.expected.isEarlier { cache.keeper.setAside(file.name) }
        for (claimant, connection) in care.connections.enumerated() {
            let destination = unsafe connections + connection
            let unsent = catalogue.unsentBits(claimant, place)
            // What is in flight can still arrive, but not be sent again: places have moved.
            let owed = catalogue.release(claimant, place)
            let inFlight = unsafe destination.pointee.letGo(ofFile: place)
            catalogue[file: place] = file
            guard let unsent, owed > inFlight else { continue }
            let before = OwedFile.Destination(name: "", packets: owed - inFlight, bits: unsent)
            let left = before.among(good, from: answer.ordinals)
            catalogue.oweMany(
                claimant, place, bits: left.bits, known: UInt32(good.count), packets: left.packets)
            let counters = unsafe destination.pointee.counters
            if left.packets > before.packets {
                counters.add(.carriedIn, left.packets - before.packets)
            } else {
                counters.add(.droppedCacheDamage, before.packets - left.packets)
            }
        }
        catalogue[file: place] = file
        care.earlier[place]?.keep(good, from: answer.ordinals)
    }

    /// Batches that were found to be bad when it was their turn are owed to nobody any more.
    mutating func loseBad(in place: UInt32, _ cache: CacheSide) {
        let bad = cache.catalogue.takeBad(in: place)
        guard !bad.isEmpty else { return }
        for (claimant, connection) in care.connections.enumerated() {
            for batch in bad where cache.catalogue.isUnsent(claimant, batch) {
                let packets = cache.catalogue.batch(batch).packets
                cache.catalogue.take(claimant, batch)
                cache.catalogue.settle(claimant, batch, packets: packets)
                unsafe connections[connection].counters.add(.droppedCacheDamage, UInt64(packets))
            }
        }
        var file = cache.catalogue[file: place]
        if !file.isDamaged {
            setup.log(
                "--spill: \(file.name): damaged in the batch at byte \(cache.catalogue.batch(bad[0]).offset);"
                    + " batches that do not check are not sent")
        }
        file.isDamaged = true
        cache.catalogue[file: place] = file
    }

    /// What a section begins with that holds batches of this file.
    private mutating func describe(_ file: inout CatalogueFile, _ description: RunDescription) {
        file.interfaces = UInt32(description.interfaces.count)
        let key = CacheCare.HeaderKey(run: file.runPlace, interfaces: description.interfaces.count)
        if care.headers[key] == nil {
            let bytes = setup.sectionHeader + description.interfaces.joined() + description.lanes.joined()
            // Never freed: connections may be in the midst of sending it, and there are few.
            let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
            unsafe memory.copyMemory(from: bytes, byteCount: bytes.count)
            care.headers[key] = (UInt(bitPattern: memory), UInt32(bytes.count))
        }
        (file.header, file.headerBytes) = care.headers[key]!
    }

    /// A file cannot be read: what was owed of it is lost, in this run at least. The file is left alone, with what is written
    /// down of it.
    mutating func giveUp(_ place: UInt32, _ cache: CacheSide, _ reason: String) {
        setup.log("--spill: \(cache.catalogue[file: place].name): \(reason)")
        loseClaims(place, cache, reason: .droppedCacheDamage)
        cache.catalogue[file: place].isGivenUp = true
        // Where it is gone, the next life would count it once more.
        let name = cache.catalogue[file: place].name
        if cache.setup.directory.hasLost(name) { cache.keeper.remove(file: OwedFile.name(of: name)) }
        if let line = unsafe spill { unsafe line.pointee.closeFile(place) }
        leaveAlone(place, cache)
    }

    /// Forgets a file that was given up, as soon as nobody reads from it and nothing is added to it.
    mutating func leaveAlone(_ place: UInt32, _ cache: CacheSide) {
        let file = cache.catalogue[file: place]
        guard case .closed = file.state, isUnused(file.descriptor) else { return }
        if file.descriptor >= 0 { close(file.descriptor) }
        care.forget(place)
        cache.catalogue.remove(place)
    }

    /// Nobody is owed anything of a file any more; what is in flight may still arrive.
    mutating func loseClaims(_ place: UInt32, _ cache: CacheSide, reason: Counter) {
        for (claimant, connection) in care.connections.enumerated() {
            let destination = unsafe connections + connection
            let packets = cache.catalogue.release(claimant, place)
            let inFlight = unsafe destination.pointee.letGo(ofFile: place)
            if packets > inFlight { unsafe destination.pointee.counters.add(reason, packets - inFlight) }
        }
    }

    /// What a destination has said that it has is delivered without being sent.
    mutating func settleHad(_ claimant: Int, in place: UInt32, _ cache: CacheSide) {
        let file = cache.catalogue[file: place]
        guard !care.had[claimant].isEmpty, file.map >= 0, cache.catalogue.owedPackets(claimant, in: place) > 0 else {
            return
        }
        let destination = unsafe connections + care.connections[claimant]
        let utc = Clock.monotonic() &+ utcOffset
        for (ordinal, batch) in cache.catalogue.batches(of: place).enumerated() {
            let target = DiskPlace(file: place, ordinal: UInt32(ordinal))
            let lane = BatchLane(run: file.run, worker: batch.worker, lane: batch.lane)
            guard cache.catalogue.isUnsent(claimant, target), care.had[claimant].contains(lane, batch.number) else {
                continue
            }
            cache.catalogue.take(claimant, target)
            cache.catalogue.settle(claimant, target, packets: batch.packets)
            unsafe destination.pointee.countDelivered(
                batch.packets, bytes: Int(batch.bytes), arrival: batch.arrival, utc: utc, isReplayed: true)
        }
    }
}
