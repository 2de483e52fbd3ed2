internal import Glibc
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache

/// Control work between turns: timers, broken connections, statistics, and how a run ends.
extension Egress {
    /// Does what is due; true when the run is over.
    mutating func manage(now: UInt64) -> Bool {
        if !stream.inputEnded, setup.input.hasEnded, hasTakenInAll {
            stream.inputEnded = true
            inputEndedAt = now
            nextStatistics = now
        }
        if setup.isFileInput, setup.asked.isSet { endSoon(now: now) }
        if now >= nextStatistics {
            nextStatistics = now &+ setup.limits.statisticsInterval
            stream.statistics.replace(setup.statistics())
        }
        if !restingListeners.isEmpty, now >= restsUntil { resumeListeners() }
        let samples = now >= nextSample
        if samples { nextSample = now &+ 10_000_000 }
        stalled = 0
        for place in 0..<connectionCount {
            tend(place, now: now)
            if samples, hasAge(place) { unsafe connections[place].ages.sample(utc: now &+ utcOffset) }
        }
        makeChanges(now: now)
        tendShares(now: now)
        tendAdmission(now: now)
        tendCache(now: now)
        publishAges(now: now)
        publish()
        return isOver(now: now)
    }

    /// Files have all the time that somebody makes progress in, until a person asks the run to end: from then on there is as
    /// much time as with live input, also for what was read and waits for room.
    private mutating func endSoon(now: UInt64) {
        if askedAt == 0 { askedAt = now }
        if !stream.inputEnded, now &- askedAt >= drainTimeout { setup.stopReading.set() }
    }

    /// Whether a run that is over waits no longer than `--drain-timeout`, whatever progress is made.
    var endsInTime: Bool { !setup.isFileInput || askedAt > 0 }

    private var hasTakenInAll: Bool {
        (0..<writers).allSatisfy { index.hasTakenInAll(worker: $0) }
    }

    private mutating func tend(_ place: Int, now: UInt64) {
        let destination = unsafe connections + place
        let slot = unsafe destination.pointee.slot
        if unsafe destination.pointee.isBroken {
            unsafe destination.pointee.isBroken = false
            switch unsafe destination.pointee.state {
            case .closing: unsafe destination.pointee.state = .finished
            case .up, .connecting: retry(place, now: now, because: nil)
            case .vacant, .waiting, .finished: break
            }
        }
        switch unsafe destination.pointee.state {
        case .waiting where unsafe now >= destination.pointee.retryAt && destination.pointee.isWanted(stream, index):
            connect(place, now: now)
        case .up where unsafe !destination.pointee.carries: tendGreeting(place, now: now)
        case .up where unsafe destination.pointee.isSilent(now, setup.limits.silenceTime):
            retry(place, now: now, because: nil)
        case .up where wantsNextOffer(place, now: now):
            setup.log("\(name(place)): has what was offered of earlier runs; the next ones in a new session")
            retry(place, now: now, because: nil)
        case .up where stream.inputEnded: finish(place, now: now)
        case .closing where unsafe now &- destination.pointee.lastProgress > 1_000_000_000:
            unsafe destination.pointee.state = .finished
        default: break
        }
        if unsafe destination.pointee.state == .finished { closeSocket(place) }
        if unsafe destination.pointee.isQuiet && destination.pointee.isAcknowledged
            && destination.pointee.isDrained(index)
        {
            unsafe destination.pointee.lastProgress = max(destination.pointee.lastProgress, owesNothing(place, now))
        } else if unsafe destination.pointee.holds, unsafe now &- destination.pointee.lastProgress >= drainTimeout {
            stalled |= 1 << UInt64(slot)
        }
    }

    /// Whether what somebody has gets older: also while it is down, as long as more may come for it.
    private func hasAge(_ place: Int) -> Bool {
        if unsafe connections[place].state == .up { return true }
        return unsafe isDestination(place) && !stream.inputEnded && index.isJoined(connections[place].slot)
    }

    /// A destination that is owed nothing cannot be late, except when it is being closed.
    private func owesNothing(_ place: Int, _ now: UInt64) -> UInt64 {
        unsafe connections[place].state == .closing ? 0 : now
    }

    /// Everything is sent: the last statistics, then our side is shut down, then the peer may close.
    private mutating func finish(_ place: Int, now: UInt64) {
        let destination = unsafe connections + place
        guard unsafe destination.pointee.isDrained(index), unsafe destination.pointee.pieces.isEmpty else {
            return
        }
        // END says that all is acknowledged.
        if unsafe destination.pointee.isAgreed, unsafe !destination.pointee.inFlight.isEmpty { return }
        if unsafe !destination.pointee.isEnded {
            unsafe destination.pointee.endStream(stream, now: now)
            _ = unsafe destination.pointee.pump(&index, stream, now: now)
            return
        }
        guard unsafe destination.pointee.isAcknowledged else { return }
        _ = shutdown(unsafe destination.pointee.descriptor, Int32(SHUT_WR))
        unsafe destination.pointee.lastProgress = now
        unsafe destination.pointee.state = .closing
    }

    // ---- the end of a run ----------------------------------------------------------------------------------------

    private mutating func isOver(now: UInt64) -> Bool {
        // Inputs stop at once, too; what they encoded until then is still taken in, for the account.
        if setup.abort.isSet, stream.inputEnded {
            abandon(.droppedDrain)
            return true
        }
        guard stream.inputEnded else {
            // Files wait for destinations; when none of them makes progress and the disk takes nothing, reading on is in vain.
            if setup.isFileInput, allStalled, index.freeSegments == 0, !isSpilling, !setup.stopReading.isSet {
                setup.log("nobody makes progress, and there is no room for more: the rest of the input is not read")
                setup.stopReading.set()
            }
            return false
        }
        if endsInTime { spillAll() }
        for place in 0..<fileCount where unsafe !files[place].isFinished {
            guard unsafe files[place].isQuiet, unsafe index.isDrained(files[place].slot) else { continue }
            unsafe files[place].finish(stream, scratch: fileScratch.base, capacity: fileScratch.byteCount)
        }
        let filesDone = (0..<fileCount).allSatisfy { unsafe files[$0].isFinished }
        let since = max(inputEndedAt, askedAt)
        let isLate = now &- since >= drainTimeout
        let pending = (0..<connectionCount).filter {
            unsafe connections[$0].isPending(index) || connections[$0].isUntried && !isLate
        }
        if pending.isEmpty, filesDone {
            // What is to be kept is written before the end.
            if keepSlot >= 0 { spillAll() }
            return keepSlot < 0 || isSwept || isDiskStuck(now: now)
        }
        if !endsInTime {
            // Each destination has its own patience: as long as it makes progress.
            let late = pending.allSatisfy { unsafe now &- connections[$0].lastProgress >= drainTimeout }
            guard late, filesDone else { return false }
            // What nobody takes waits on disk for the next run.
            spillAll()
            guard isSwept || isDiskStuck(now: now) else { return false }
            abandon(.droppedUnreachable)
            return true
        }
        // However short the time is, what is in memory is written first, as long as the disk takes it.
        guard isLate, isSwept || isDiskStuck(now: now) else { return false }
        abandon(.droppedDrain)
        return true
    }

    private var allStalled: Bool {
        var holders: UInt64 = 0
        for place in 0..<connectionCount where unsafe connections[place].holds {
            unsafe holders |= index.isJoined(connections[place].slot) ? 1 << UInt64(connections[place].slot) : 0
        }
        return holders != 0 && holders & ~stalled == 0 && fileCount == 0
    }

    /// Nothing more will be delivered: what is left is lost, counted under this reason. What is on its way to disk is lost only
    /// if it does not get there (`finishSpill`).
    private mutating func abandon(_ reason: Counter) {
        for place in 0..<connectionCount where unsafe index.isJoined(connections[place].slot) {
            let destination = unsafe connections + place
            unsafe destination.pointee.takeBack(&index, resends: false, orphans: reason)
            giveUp(place, reason)
            closeSocket(place)
        }
        for place in 0..<fileCount where unsafe !files[place].isFinished {
            let lost = unsafe giveUpUnsent(files[place].slot)
            unsafe files[place].unsentPackets -= lost
            unsafe files[place].counters.add(reason, lost)
        }
        publish()
    }

    /// What a destination was not sent of what is in memory is lost.
    mutating func giveUp(_ place: Int, _ reason: Counter) {
        let lost = unsafe giveUpUnsent(connections[place].slot)
        unsafe connections[place].unsentPackets -= lost
        unsafe connections[place].counters.add(connections[place].isGuest ? .droppedBehind : reason, lost)
    }

    /// Waits until the files are written, and settles the last results. One that takes nothing any more (a pipe whose
    /// reader hangs) is left as it is.
    mutating func finishFiles() {
        for place in 0..<fileCount {
            let file = unsafe files + place
            var lastProgress = Clock.monotonic()
            while unsafe !file.pointee.isQuiet, waitsForFile(since: lastProgress) {
                if unsafe file.pointee.pump(&index, stream) > 0 { lastProgress = Clock.monotonic() }
                Clock.sleep(nanoseconds: 100_000)
            }
            guard unsafe file.pointee.isQuiet else {
                unsafe file.pointee.abandonOutstanding()
                continue
            }
            unsafe file.pointee.finish(stream, scratch: fileScratch.base, capacity: fileScratch.byteCount)
            while unsafe !file.pointee.ended.isSet, waitsForFile(since: lastProgress) {
                Clock.sleep(nanoseconds: 100_000)
            }
        }
        publish()
    }

    /// Whether a file that is being written is still waited for: without limit where files are read, because a person may
    /// be paging through the output.
    private func waitsForFile(since lastProgress: UInt64) -> Bool {
        !setup.abort.isSet && (setup.isFileInput || Clock.monotonic() &- lastProgress < drainTimeout)
    }

    // ---- what others see -----------------------------------------------------------------------------------------

    /// Publishes the counters of every plan; several readers of one listener add up in one set.
    func publish() {
        for number in setup.plans.indices {
            var (memory, disk): (UInt64, UInt64) = (0, 0)
            for place in 0..<connectionCount where unsafe connections[place].plan == number {
                unsafe memory += connections[place].packetsInMemory
                unsafe disk += connections[place].packetsOnDisk
            }
            for place in 0..<fileCount where unsafe files[place].plan == number {
                unsafe memory += files[place].unsentPackets + files[place].outstandingPackets
            }
            setup.counters[number].set(.inMemory, memory)
            setup.counters[number].set(.onDisk, disk)
            setup.counters[number].publish()
        }
    }

    func outcomes() -> [DestinationOutcome] {
        let removed = Set(remembered.map(\.plan))
        return remembered
            + setup.plans.indices.filter { !removed.contains($0) }.map { number in
                // What is no connection is always there.
                let isConnection = (0..<connectionCount).contains { unsafe connections[$0].plan == number }
                var outcome = DestinationOutcome(
                    plan: number, wasUp: !isConnection, ages: DestinationAges(), fileFailure: 0)
                var ages = Ages()
                for place in 0..<connectionCount where unsafe connections[place].plan == number {
                    outcome.wasUp = unsafe outcome.wasUp || connections[place].wasUp
                    unsafe ages.add(connections[place].ages)
                }
                outcome.ages = DestinationAges(ages)
                for place in 0..<fileCount where unsafe files[place].plan == number {
                    outcome.fileFailure = unsafe files[place].failure
                }
                return outcome
            }
    }
}

extension Destination {
    /// What became of it.
    var outcome: DestinationOutcome {
        DestinationOutcome(plan: plan, wasUp: wasUp, ages: DestinationAges(ages), fileFailure: 0)
    }

    /// Packets owed that are in memory: unsent, in hand, or in the socket.
    var packetsInMemory: UInt64 {
        var packets = unsentPackets + inFlight.packets - inFlight.diskPackets
        for place in pieces.first..<pieces.end
        where unsafe pieces.notes[place].isBatch && !pieces.notes[place].disk.isSomewhere {
            packets += UInt64(unsafe pieces.notes[place].packets)
        }
        if let disk = unsafe disk, unsafe disk.pointee.isLetGo { packets += UInt64(unsafe disk.pointee.batch.packets) }
        return packets
    }

    /// Whether it still has something to get, or to end.
    func isPending(_ index: borrowing BatchIndex) -> Bool {
        switch state {
        case .vacant, .finished: false
        case .up, .closing: true
        case .waiting, .connecting: !isQuiet || !isDrained(index)
        }
    }

    /// Whether connecting makes sense: while there is input, or something is owed.
    func isWanted(_ stream: StreamContext, _ index: borrowing BatchIndex) -> Bool {
        !stream.inputEnded || !isDrained(index) || isUntried
    }

    /// Whether a destination's first connection attempt is still to be made or under way. It is waited for even when
    /// nothing is owed: a reader that is there gets at least a stream without packets.
    var isUntried: Bool {
        !isGuest && !wasUp && pause == 0 && (state == .waiting || state == .connecting)
    }
}
