internal import CMachine
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache
internal import Transfer

/// The path of a batch into a socket: chosen newest first, written from the segment, settled when acknowledged.
extension Destination {
    /// Writes as much as the kernel takes right now; returns the batches completely written.
    ///
    /// A few writes at most: a fast reader with a large backlog would otherwise keep newer batches from coming in, and
    /// other destinations and workers waiting.
    @_noLocks mutating func pump(_ index: inout BatchIndex, _ stream: StreamContext, now: UInt64) -> Int {
        var finished = 0
        var writes = 0
        while isWritable, !isBroken, carries, writes < 4 {
            if isReplaying {
                finished += continueReplay(now: now)
                writes += 1
                continue
            }
            choose(&index, stream, now: now)
            if pieces.isEmpty {
                guard beginReplay(stream, now: now) else { return finished }
                continue
            }
            finished += write(&index, now: now)
            writes += 1
        }
        return finished
    }

    // ---- choosing ------------------------------------------------------------------------------------------------

    /// Chooses the next batches, by this destination's order, into the queue of pieces.
    @_noLocks private mutating func choose(_ index: inout BatchIndex, _ stream: StreamContext, now: UInt64) {
        guard pieces.isEmpty else { return }
        (scratchUsed, controlUsed) = (0, 0)
        inFlight.makeRoom()
        guard beginStream(stream) else { return }
        if now >= statisticsAt, !isClassic, section == 0 { appendStatistics(stream, now: now) }
        if !gone.isEmpty { appendGone(stream) }
        var bytes = 0
        // Some places are kept for what a batch may need described first.
        while pieces.end < PieceQueue.capacity - 6, bytes < stream.limits.scratchBytes, inFlight.room > pieces.end,
            inFlight.bytes + UInt64(bytes) < UInt64(stream.limits.ackWindow)
        {
            guard let reference = newestFirst ? index.newest(slot) : index.oldest(slot) else { return }
            if prefersDisk(reference, index) {
                gate.liveAt = 0
                return
            }
            let batch = unsafe index.pool.batch(reference)
            if isClassic, batch.count > scratch.byteCount - scratchUsed { return }
            returnToOwnSection(stream)
            describeInterfaces(stream)
            describeLanes(stream)
            index.take(slot, reference)
            gate.liveAt = now
            let note = PieceNote(index.pool, reference, bytes: batch.count)
            unsentPackets -= UInt64(note.packets)
            if isClassic {
                unsafe appendClassic(batch, note)
            } else {
                unsafe pieces.append(UnsafeMutableRawPointer(mutating: batch.baseAddress!), batch.count, note)
            }
            bytes += batch.count
        }
    }

    /// Queues what a stream begins with; false while the link type is not known yet.
    @_noLocks private mutating func beginStream(_ stream: StreamContext) -> Bool {
        if isBegun { return true }
        if isClassic {
            guard stream.interfaces.count > 0 else { return false }
            // The link type stands in the first description block, right behind type and length.
            let linkType = unsafe stream.interfaces.descriptions(from: 0, to: 1)
                .loadUnaligned(fromByteOffset: 8, as: UInt16.self)
            let header = unsafe nanoseconds ? stream.classicNanoseconds : stream.classicMicroseconds
            unsafe spillway_copy(control.base, header.baseAddress!, 24)
            unsafe (control.base + 20).storeBytes(of: UInt32(linkType), as: UInt32.self)
            unsafe pieces.append(header: control.base, 24)
        } else {
            guard isAgreed || stream.interfaces.count > 0 || stream.inputEnded else { return false }
            // Where there was a session, its section header came first.
            if !isAgreed { unsafe pieces.append(header: stream.sectionHeader.baseAddress!, stream.sectionHeader.count) }
            describeInterfaces(stream)
            describeLanes(stream)
        }
        isBegun = true
        return true
    }

    /// Queues the description of interfaces that appeared since the last time, before any batch that refers to them.
    @_noLocks mutating func describeInterfaces(_ stream: StreamContext) {
        let known = stream.interfaces.count
        guard !isClassic, described < known else { return }
        let blocks = unsafe stream.interfaces.descriptions(from: described, to: known)
        unsafe pieces.append(header: blocks.baseAddress!, blocks.count)
        described = known
    }

    /// Queues what lanes are for that appeared since the last time.
    @_noLocks mutating func describeLanes(_ stream: StreamContext) {
        guard !isClassic, toldLanes < stream.lanes.byteCount else { return }
        let blocks = unsafe stream.lanes.rest(after: toldLanes)
        unsafe pieces.append(header: blocks.baseAddress!, blocks.count)
        toldLanes += blocks.count
    }

    @_noLocks private mutating func appendStatistics(_ stream: StreamContext, now: UInt64) {
        statisticsAt = now &+ stream.limits.statisticsInterval
        let target = unsafe control.base + controlUsed
        var count = unsafe stream.statistics.copy(
            to: target, capacity: control.byteCount / 2, interfaces: described)
        // Who has nothing to tell still says that it is alive.
        if count == 0, isAgreed {
            count = unsafe RangeBlockWriter(
                ControlType.gone, run: stream.run, worker: 0, lane: 0, to: target, capacity: 72
            ).finish()
        }
        controlUsed += count
        unsafe pieces.append(header: target, count)
    }

    @_noLocks private mutating func appendGone(_ stream: StreamContext) {
        let target = unsafe control.base + controlUsed
        let count = unsafe gone.write(run: stream.run, to: target)
        controlUsed += count
        unsafe pieces.append(header: target, count)
    }

    /// Queues the statistics that end a stream, unless there is something else on its way. A classic stream whose link
    /// type never became known stays empty.
    @_noLocks mutating func endStream(_ stream: StreamContext, now: UInt64) {
        guard pieces.isEmpty else { return }
        controlUsed = 0
        if isBegun { returnToOwnSection(stream) }
        if beginStream(stream), !isClassic { appendStatistics(stream, now: now) }
        if isAgreed { unsafe pieces.append(header: stream.endBlock.baseAddress!, stream.endBlock.count) }
        isEnded = true
    }

    /// Copies a batch into the connection's buffer in the classic form.
    @_noLocks private mutating func appendClassic(_ batch: UnsafeRawBufferPointer, _ note: PieceNote) {
        var note = note
        let start = unsafe scratch.base + scratchUsed
        var target = unsafe start
        var offset = 0
        let records = batch.count - BatchTrailer.byteCount
        while offset < records {
            let record = unsafe RecordView(batch.baseAddress! + offset)
            if record.captured > ClassicPcap.maximumCaptured { note.cut += 1 }
            unsafe target += ClassicPcap.write(record, nanoseconds: nanoseconds, to: target)
            offset += record.byteCount
        }
        let length = unsafe target - start
        scratchUsed += length
        unsafe pieces.append(start, length, note)
    }

    // ---- writing -------------------------------------------------------------------------------------------------

    @_noLocks private mutating func write(_ index: inout BatchIndex, now: UInt64) -> Int {
        let sent = unsafe spillway_send_vector(
            descriptor, pieces.vectors + pieces.first, Int32(truncatingIfNeeded: pieces.end - pieces.first))
        guard sent >= 0 else {
            isWritable = false
            if sent != -11 /* EAGAIN */ { isBroken = true }
            unchoose(&index)
            return 0
        }
        written += UInt64(truncatingIfNeeded: sent)
        var finished = 0
        var left = sent
        while let note = pieces.popFinished(&left) {
            guard note.isBatch else { continue }
            inFlight.append(InFlight(note, end: written - UInt64(truncatingIfNeeded: left)))
            finished += 1
        }
        if !pieces.isEmpty {
            // The kernel did not take everything: what it did not touch may be overtaken by something newer.
            isWritable = false
            unchoose(&index)
        }
        return finished
    }

    /// Gives back every batch that was chosen and not begun, so that at most one is in hand.
    @_noLocks mutating func unchoose(_ index: inout BatchIndex) {
        while let note = pieces.popUntouched() {
            index.putBack(slot, note.reference)
            unsentPackets += UInt64(note.packets)
        }
    }

    // ---- settling ------------------------------------------------------------------------------------------------

    /// Settles what the peer's TCP has acknowledged; returns how many batches that were.
    @_noLocks mutating func acknowledge(_ index: inout BatchIndex, utc: UInt64, now: UInt64) -> Int {
        guard !isBroken, acknowledged != written else { return 0 }
        let outstanding = spillway_unacknowledged(descriptor)
        guard outstanding >= 0 else {
            isBroken = true
            return 0
        }
        let position = written &- UInt64(truncatingIfNeeded: outstanding)
        guard position > acknowledged else { return 0 }
        acknowledged = position
        // What a collector has taken into its kernel's memory is no progress yet, and greetings are none at all.
        guard carries, !isAgreed else { return 0 }
        lastProgress = now
        var settled = 0
        while let entry = inFlight.popAcknowledged(upTo: position) {
            deliver(entry, &index, utc: utc)
            plainPackets += UInt64(entry.packets)
            plainBytes += UInt64(entry.bytes)
            if mayGreetLate, !entry.isOrphan {
                plainDeliveries.append(PlainDeliveries.Entry(entry, age: index.age(of: entry.reference.segment)))
            }
            settled += 1
        }
        // Only a reader that takes batches is worth coming back to soon; one that closes at once is not.
        if settled > 0 { pause = 0 }
        return settled
    }

    /// A batch that was in flight has arrived.
    @_noLocks mutating func deliver(_ entry: InFlight, _ index: inout BatchIndex, utc: UInt64) {
        if !entry.isOrphan { index.settle(slot, entry.reference) }
        if entry.disk.isSomewhere, let disk = unsafe disk {
            unsafe disk.pointee.catalogue.settle(disk.pointee.claimant, entry.disk, packets: entry.packets)
        }
        countDelivered(
            entry.packets, bytes: Int(entry.bytes), arrival: entry.arrival, utc: utc, isReplayed: entry.isReplayed)
        if entry.cut > 0 { counters.add(.cutForProfile, UInt64(entry.cut)) }
    }

    /// Counts a batch as delivered, however it became known.
    @_noLocks mutating func countDelivered(
        _ packets: UInt32, bytes: Int, arrival: UInt64, utc: UInt64, isReplayed: Bool = false
    ) {
        counters.add(.delivered, UInt64(packets))
        counters.add(.deliveredBytes, UInt64(bytes))
        ages.delivered(arrival: arrival, utc: utc, isReplayed: isReplayed)
    }

    /// The connection is gone: what was not acknowledged is unsent again, unless its memory was taken meanwhile.
    ///
    /// - Parameters:
    ///   - resends: whether there will be another connection to send it on.
    ///   - cause: what is counted where the memory was taken.
    @_noLocks mutating func takeBack(_ index: inout BatchIndex, resends: Bool, orphans cause: Counter) {
        let reason: Counter = isGuest ? .droppedBehind : cause
        takeBackFromDisk()
        while let entry = inFlight.popFirst() {
            if entry.disk.isSomewhere {
                putBack(entry.disk)
                if resends { counters.add(.resent, UInt64(entry.packets)) }
            } else if entry.isOrphan {
                counters.add(entry.isExpired ? .expired : reason, UInt64(entry.packets))
            } else {
                index.putBack(slot, entry.reference)
                if resends { counters.add(.resent, UInt64(entry.packets)) }
                unsentPackets += UInt64(entry.packets)
            }
        }
        while let note = pieces.popLast() {
            guard note.isBatch else { continue }
            if note.disk.isSomewhere {
                putBack(note.disk)
            } else if note.isOrphan {
                counters.add(reason, UInt64(note.packets))
            } else {
                index.putBack(slot, note.reference)
                unsentPackets += UInt64(note.packets)
            }
        }
        (section, sectionInterfaces, gate) = (0, 0, ReplayGate())
        (written, acknowledged, isBegun, described, toldLanes, isEnded) = (0, 0, false, 0, 0, false)
        plainDeliveries.clear()
        (isWritable, isBroken) = (false, false)
        (greeting, mayGreetLate, plainPackets, plainBytes) = (.plain, false, 0, 0)
        inbox.clear()
        gone.clear()
    }

    /// Its segment is wanted: a batch that is half in the socket moves to the connection's own buffer.
    @_noLocks mutating func rescue(segment: UInt32, _ index: inout BatchIndex) {
        unchoose(&index)
        inFlight.orphan(segment: segment)
        var place = pieces.first
        while place < pieces.end {
            let note = unsafe pieces.notes[place]
            // An orphan is in the buffer already, and its segment may have been in use again since.
            if note.isBatch, note.reference.segment == segment, !note.isOrphan {
                unsafe pieces.notes[place].isOrphan = true
                // Classic records were copied there when they were chosen.
                if !isClassic { moveToScratch(place) }
            }
            place += 1
        }
    }

    @_noLocks mutating func moveToScratch(_ place: Int) {
        unsafe spillway_copy(scratch.base, pieces.vectors[place].iov_base, pieces.vectors[place].iov_len)
        unsafe pieces.vectors[place].iov_base = scratch.base
    }
}
