internal import CSending

/// What is in memory ahead of the sending, and what leaves it behind.
extension FileTransfer {
    /// How far back pages are let go of again, because a socket may have held them: as much as a large one holds.
    static var doubt: UInt64 { @_noLocks get { 8 << 20 } }

    /// No kernel reads further ahead than this, whatever it is told about the device.
    static var greatestReadAhead: UInt64 { @_noLocks get { 32 << 20 } }

    /// Makes sure that there is something to send, and that what follows is on its way; false if there is nothing.
    @_noLocks mutating func bringIn(now: UInt64, tools: borrowing SendingTools) -> Bool {
        guard let helpers = tools.helpers else {
            residentEnd = end
            return true
        }
        if residentEnd > position, now &- residentSince > limits.trust, loadingEnd == 0 { lookAgain(now: now) }
        // The next part is asked for while there is still one to send.
        if loadingEnd == 0, residentEnd < end, residentEnd &- position < ahead {
            lookAhead(now: now, helpers: helpers)
        }
        if residentEnd > position {
            starved = false
            return true
        }
        if loadingEnd != 0, !starved {
            starved = true
            // The first part of all is always waited for; later ones only if the disk is too slow for the reader.
            // And what a socket takes at once says nothing about its reader.
            if broughtEnd > broughtStart, position &- start >= 4 &* window {
                window = min(window &* 2, limits.greatestWindow)
            }
        }
        return loadingEnd == 0
    }

    /// With how much left to send the next part is asked for: a reader that never waited for the disk can wait a little.
    private var ahead: UInt64 { @_noLocks get { window == limits.firstWindow ? window / 2 : window } }

    /// Looks whether what was found in memory a while ago is still there.
    @_noLocks private mutating func lookAgain(now: UInt64) {
        if Residency.isResident(descriptor, from: position, to: residentEnd) {
            residentSince = now
        } else {
            residentEnd = position
        }
    }

    @_noLocks private mutating func lookAhead(now: UInt64, helpers: HelperClient) {
        let isContinued = isStreamed && limits.releases && residentEnd == broughtEnd && broughtEnd > broughtStart
        let probed = min(end, residentEnd &+ limits.probe)
        if Residency.isResident(descriptor, from: residentEnd, to: probed) {
            // What was read ahead for this transfer is let go of with the rest.
            if isContinued { broughtEnd = probed }
            residentEnd = probed
            residentSince = now
            return
        }
        // Parts end where windows of the file do, so that transfers of one file ask for the same ones.
        let part = min(end, (residentEnd / window &+ 1) &* window)
        // The disk is what a fast reader waits for: it is better read in one go.
        if !isStreamed, limits.streams, window == limits.greatestWindow { isStreamed = helpers.beginStream() }
        var job = HelperJob(
            isStreamed ? .stream : .load, descriptor: descriptor, offset: residentEnd, byteCount: part &- residentEnd,
            ticket: ticket)
        job.isContinued = isContinued
        if helpers.submit(job) {
            loadingEnd = part
            jobs = jobs &+ 1
            residentSince = now
        } else if residentEnd == position {
            // No helper to be had: better a loop that waits once than a transfer that never goes on.
            residentEnd = part
            residentSince = now
        }
    }

    /// Notes a part as brought in for this transfer. One piece is kept track of; a gap in it leaves the older to the kernel.
    @_noLocks mutating func own(from start: UInt64, to end: UInt64) {
        if start != broughtEnd || broughtStart == broughtEnd {
            broughtStart = start
            releasedEnd = start
        }
        broughtEnd = end
    }

    /// Lets go of what was brought in and lies well behind the sending, a window at a time.
    @_noLocks mutating func letGo(behind position: UInt64, tools: borrowing SendingTools) {
        // What lies nearer than a window is likely still held by the socket, and asking for it would be asking in vain.
        guard limits.releases, broughtEnd > broughtStart, position > window else { return }
        let behind = min(broughtEnd, position &- window)
        guard behind > releasedEnd, behind &- releasedEnd >= window else { return }
        // A page that a socket holds stays, and nobody says so: what was asked for a while ago is asked for once more.
        let again = releasedEnd > Self.doubt ? max(broughtStart, releasedEnd &- Self.doubt) : broughtStart
        release(from: again, to: behind, tools: tools)
        releasedEnd = behind
    }

    @_noLocks mutating func release(from start: UInt64, to place: UInt64, tools: borrowing SendingTools) {
        guard let helpers = tools.helpers else { return }
        let job = HelperJob(
            .release, descriptor: descriptor, offset: start, byteCount: place &- start, ticket: ticket)
        if helpers.submit(job) { jobs = jobs &+ 1 }
    }
}
