internal import Machine
internal import Pcapng
internal import SpillCache
internal import Transfer

extension CollectorLoop {
    /// What has to happen from time to time; ten times a second.
    func tick() {
        let now = Clock.monotonic()
        if now >= nextSample { sampleAges(now) }
        guard now - lastTick >= 100_000_000 else { return }
        let isNewMinute = now / 60_000_000_000 != lastTick / 60_000_000_000
        lastTick = now
        checkRoom()
        journal.sealIdle(now: now)
        for connection in Array(connections.values) { checkTimes(connection, now) }
        if isNewMinute { forgetOldRuns() }
        if suppressedLines > 0, logTimes.last.map({ elapsed(since: $0, now) > 1_000_000_000 }) ?? true {
            sayHowManyLinesWereLeftOut()
        }
        publish()
    }

    private func sampleAges(_ now: UInt64) {
        nextSample = now + 10_000_000
        let utc = Clock.realtime()
        for sensor in sensors.values where sensor.connections > 0 { sensor.ages.sample(utc: utc) }
    }

    /// Stops reading when there would soon be no room to make files of what is there, and goes on when there is.
    private func checkRoom() {
        if journal.hasRoom(again: storageProblem != nil) {
            // What failed a moment ago is not tried again at once.
            guard storageProblem != nil, elapsed(since: stoppedAt, Clock.monotonic()) > 200_000_000 else { return }
            storageProblem = nil
            if !isRepeated { log("there is room again: going on") }
            for connection in Array(connections.values) where connection.stage != .ending { advance(connection) }
        } else {
            stopForStorage("too little free space for the journal and the files made of it")
        }
    }

    /// Nothing more is read, and so nothing acknowledged, until there is room.
    func stopForStorage(_ reason: String) {
        guard storageProblem == nil else { return }
        let now = Clock.monotonic()
        // One line a minute for a disk that is full again as soon as there is a little room.
        isRepeated = lastStorageProblem == reason && elapsed(since: saidStopped, now) < 60_000_000_000
        (storageProblem, lastStorageProblem, stoppedAt) = (reason, reason, now)
        counts[.storageStops] += 1
        if !isRepeated {
            saidStopped = now
            log("acknowledging stops: \(reason)")
        }
        // What is in the journal can still become files, and then counts no more.
        journal.sealAll()
        for connection in Array(connections.values) { finishTurn(connection) }
    }

    private func checkTimes(_ connection: Connection, _ now: UInt64) {
        switch connection.stage {
        case .ending:
            // It had time to read why.
            if elapsed(since: connection.lastHeard, now) > 1_000_000_000 { remove(connection) }
            return
        case .greeting, .inventory:
            if elapsed(since: connection.began, now) > TransferLimit.timeBeforeProof, connection.stage == .greeting {
                return refuse(connection, Refusal(.malformed, .refusedTimeout, "no session in time"))
            }
        default: break
        }
        let isSilent = !isPaused(connection) && elapsed(since: connection.lastHeard, now) > options.silenceTime
        let isDeaf = connection.waiting > 0 && elapsed(since: connection.lastTaken, now) > options.silenceTime
        if isSilent || isDeaf {
            counts[.refusedSilent] += 1
            log("\(connection.label): ended: silent, or takes nothing, for too long")
            return remove(connection)
        }
        if connection.stage == .streaming, connection.waiting == 0,
            elapsed(since: connection.lastSaid, now) > options.aliveTime,
            let lane = connection.inventory.lanes.keys.first
        {
            connection.say(
                NumberRanges(run: lane.run, worker: lane.worker, lane: lane.lane, []).blocks(ControlType.ack))
        }
        finishTurn(connection)
    }

    private func forgetOldRuns() {
        let now = Clock.realtime()
        guard now > CollectorLimit.runLifetime else { return }
        let kept = runsUnderWay
        for sensor in sensors.values {
            noteForgotten(sensor.forgetRuns(before: now - CollectorLimit.runLifetime, keeping: kept))
        }
    }

    /// Runs that are in the journal or belong to a connection.
    private var runsUnderWay: Set<RunIdentity> {
        connections.values.reduce(into: journal.runs) { $0.formUnion($1.inventory.runs) }
    }

    private func noteForgotten(_ runs: [RunIdentity]) {
        counts[.forgottenRuns] += UInt64(runs.count)
        for run in runs { owners[run] = nil }
    }

    /// Makes room for runs of a sensor that has as many as there may be: who is started every minute must not be locked out.
    /// Those that were presented longest ago go; whoever owes something presents it at every connection.
    func forgetForRoom(_ sensor: Sensor, _ presented: Set<RunIdentity>) {
        let excess = Set(sensor.claims.keys).union(presented).count - TransferLimit.runs
        guard excess > 0 else { return }
        noteForgotten(sensor.forgetLeastRecent(excess, keeping: runsUnderWay.union(presented)))
    }

    // ---- words

    /// A line for people; of a flood of them ten a second.
    func log(_ line: String) {
        let now = Clock.monotonic()
        logTimes.removeAll { elapsed(since: $0, now) > 1_000_000_000 }
        guard logTimes.count < 20 else {
            suppressedLines += 1
            return
        }
        logTimes.append(now)
        if suppressedLines > 0 { sayHowManyLinesWereLeftOut() }
        console.log("spillway: \(line)")
    }

    private func sayHowManyLinesWereLeftOut() {
        console.log("spillway: \(suppressedLines) lines left out")
        suppressedLines = 0
    }

    /// Something that the report and the end should mention.
    func problem(_ line: String) {
        if problems.count < 100 { problems.append(line) }
    }

    /// Makes the present figures visible to other threads, and to a terminal.
    func publish() {
        var figures = CollectorFigures()
        figures.counts = counts
        figures.sensors = sensors.values.map { ($0.name, $0.tally, $0.claims.count, $0.ages) }.sorted { $0.0 < $1.0 }
        figures.connections = connections.count
        figures.openBytes = journal.openBytes
        figures.openFiles = journal.buckets.count
        figures.seconds = Double(Clock.monotonic() - started) / 1e9
        figures.cpu = (Clock.threadCPU(), sealer.cpuTime)
        figures.isStopped = storageProblem != nil
        let previous = published.replace(with: figures)
        guard let progress = console.progress, !isStopping else { return }
        let rate =
            Double(figures.counts[.packets] - previous.counts[.packets]) / max(figures.seconds - previous.seconds, 1e-3)
        var line = "\(figures.counts[.packets]) packets, \(UInt64(max(rate, 0))) per second, "
        line += "\(connections.count) connections, \(figures.openFiles) open, \(figures.counts[.files]) files"
        if let storageProblem { line += "; stopped: \(storageProblem)" }
        progress(line)
    }
}

/// Nanoseconds between two readings of the monotonic clock; 0 if the second one was taken before the first.
func elapsed(since time: UInt64, _ now: UInt64) -> UInt64 { now > time ? now - time : 0 }
