internal import Egress
internal import Machine
internal import SegmentPool
internal import Synchronization

/// Why options that were read again are not taken: a sentence.
public struct ReloadError: Error {
    /// What is wrong, and where.
    public let reason: String

    /// An error with this sentence.
    public init(_ reason: String) { self.reason = reason }
}

/// SIGHUP: the configuration is read again. Destinations come and go by their names, and limits change; all else stays as it
/// is until the next start, and is named.
extension RelayRun {
    /// Reads the configuration again. What is wrong with it changes nothing.
    func reload() {
        guard let read = console.reload else {
            return console.log("SIGHUP: this run has no --config to read again")
        }
        do throws(ReloadError) {
            let wanted = try read()
            let (was, plans, removed) = present.withLock { ($0.options, $0.plans, $0.removed) }
            let changes = try changes(from: was, to: wanted, plans, removed)
            let fixed = Self.unchangeable(was, wanted)
            if !fixed.isEmpty {
                console.log("SIGHUP: changed, but only from the next start on: \(fixed.joined(separator: ", "))")
            }
            let limits = Self.changedLimits(was, wanted)
            if !limits.isEmpty { console.log("SIGHUP: changed: \(limits.joined(separator: ", "))") }
            take(changes, wanted)
            if changes.isEmpty, fixed.isEmpty { console.log("SIGHUP: nothing has changed") }
        } catch {
            console.log("SIGHUP: refused, everything stays as it was: \(error.reason)")
        }
    }

    /// Keeps account of what is about to change, and passes it on.
    private func take(_ list: [EgressChange], _ wanted: RelayOptions) {
        present.withLock { present in
            for change in list {
                switch change {
                case .add(let plan): present.plans.append(plan)
                case .remove(let plan): present.removed.insert(plan)
                case .move(let number, let plan): present.plans[number] = plan
                case .limits, .allow: break
                }
            }
            present.options.destinations = wanted.destinations
            (present.options.ackWindow, present.options.allow) = (wanted.ackWindow, wanted.allow)
            (present.options.reassignAfter, present.options.drainTimeout) = (wanted.reassignAfter, wanted.drainTimeout)
        }
        changes.post(list)
    }

    /// What is to be done, in order: who goes makes room for who comes.
    private func changes(
        from was: RelayOptions, to wanted: RelayOptions, _ plans: [DestinationPlan], _ removed: Set<Int>
    ) throws(ReloadError) -> [EgressChange] {
        var list: [EgressChange] = []
        for old in was.destinations where !wanted.destinations.contains(where: { $0.name == old.name }) {
            guard old.address != nil else { throw ReloadError("--to null (\(old.name)) cannot be taken out of a run") }
            guard let number = plans.indices.first(where: { plans[$0].name == old.name && !removed.contains($0) })
            else { continue }
            list.append(.remove(plan: number))
        }
        // A file that is being written anew is empty for a moment.
        guard was.destinations.isEmpty || !wanted.destinations.isEmpty else {
            throw ReloadError("no destination is named any more; start the run anew if that is meant")
        }
        let stays = was.destinations.count { $0.address != nil } - list.count
        if was.distribution != .everybody, stays == 0 {
            throw ReloadError("where destinations share at least one must stay; replace the last one in two steps")
        }
        var added = 0
        for new in wanted.destinations {
            guard let old = was.destinations.first(where: { $0.name == new.name }) else {
                // Another kind may go by that name: a listener, a file.
                guard !plans.indices.contains(where: { plans[$0].name == new.name && !removed.contains($0) }) else {
                    throw ReloadError("--to \(new.name): something else goes by that name; give it another name=")
                }
                added += 1
                list.append(.add(try plan(new)))
                continue
            }
            if let change = try move(from: old, to: new, plans, removed) { list.append(change) }
        }
        let (room, rows) = (outputs.plans.count(where: \.isConnection) + Self.sparePlaces, plans.count + added)
        guard stays + added <= room, rows <= counters.destinations.count else {
            throw ReloadError(
                "\(stays + added) destinations; this run has places for \(room) at once and for"
                    + " \(counters.destinations.count - plans.count) more in its life; start it anew")
        }
        if let limits = try newLimits(was, wanted) { list.append(.limits(limits)) }
        if was.allow != wanted.allow {
            list.append(.allow(try reason { () throws(RelayError) in try wanted.allowedSubnets() }))
        }
        return list
    }

    private func move(
        from old: RelayOptions.Destination, to new: RelayOptions.Destination, _ plans: [DestinationPlan],
        _ removed: Set<Int>
    ) throws(ReloadError) -> EgressChange? {
        var same = old
        (same.address, same.share, same.takesBacklog) = (new.address, new.share, new.takesBacklog)
        guard same == new, (old.address == nil) == (new.address == nil) else {
            throw ReloadError(
                "--to \(new.name): of a destination that is there only address, share and backlog can change;"
                    + " give it another name=")
        }
        guard old != new,
            let number = plans.indices.first(where: { plans[$0].name == old.name && !removed.contains($0) })
        else { return nil }
        return .move(plan: number, try plan(new))
    }

    private func plan(_ destination: RelayOptions.Destination) throws(ReloadError) -> DestinationPlan {
        guard destination.address != nil else {
            throw ReloadError("--to null (\(destination.name)) cannot be added to a run")
        }
        return try reason { () throws(RelayError) in
            try Outputs.plan(destination, hasToken: options.tokenFile != nil)
        }
    }

    private func newLimits(_ was: RelayOptions, _ wanted: RelayOptions) throws(ReloadError) -> EgressLimits? {
        var changed = limits
        (changed.ackWindow, changed.reassignAfter) = (wanted.ackWindow, wanted.reassignAfter)
        changed.drainTimeout = wanted.drainTimeout
        let isSame =
            was.ackWindow == wanted.ackWindow && was.reassignAfter == wanted.reassignAfter
            && was.drainTimeout == wanted.drainTimeout
        return isSame ? nil : changed
    }

    private func reason<Value>(_ body: () throws(RelayError) -> Value) throws(ReloadError) -> Value {
        do throws(RelayError) { return try body() } catch { throw ReloadError(error.message) }
    }

    /// Limits that are other than they were, by their names.
    private static func changedLimits(_ was: RelayOptions, _ wanted: RelayOptions) -> [String] {
        [
            ("--ack-window", was.ackWindow == wanted.ackWindow), ("--allow", was.allow == wanted.allow),
            ("--reassign-after", was.reassignAfter == wanted.reassignAfter),
            ("--drain-timeout", was.drainTimeout == wanted.drainTimeout),
        ].filter { !$0.1 }.map(\.0)
    }

    /// Options that are other than they were and cannot change, by their names.
    private static func unchangeable(_ was: RelayOptions, _ wanted: RelayOptions) -> [String] {
        let all: [(String, Bool)] = [
            ("-i or -r", was.inputs == wanted.inputs), ("--name", was.name == wanted.name),
            ("--listen", was.listeners == wanted.listeners), ("-w", was.outputFile == wanted.outputFile),
            ("--distribute", was.distribution == wanted.distribution),
            ("--token-file", was.tokenFile == wanted.tokenFile), ("-f", was.filter == wanted.filter),
            ("-s", was.snapLength == wanted.snapLength), ("-c", was.count == wanted.count),
            ("--duration", was.duration == wanted.duration), ("--pace", was.pace == wanted.pace),
            ("--capture", was.capture == wanted.capture), ("--tap", was.tap == wanted.tap),
            ("--busy-poll", was.busyPoll == wanted.busyPoll), ("--memory", was.memory == wanted.memory),
            ("--segment-size", was.segmentSize == wanted.segmentSize),
            ("--hugepages", was.hugepages == wanted.hugepages), ("--numa-node", was.numaNode == wanted.numaNode),
            ("--capture-cpus", was.captureCPUs == wanted.captureCPUs),
            ("--worker-cpus", was.workerCPUs == wanted.workerCPUs),
            ("--egress-cpus", was.egressCPUs == wanted.egressCPUs),
            ("--control-cpus", was.controlCPUs == wanted.controlCPUs),
            ("--batch-size, --batch-time or --batch-packets", was.batch == wanted.batch),
            ("--reassemble", was.reassembles == wanted.reassembles), ("--overlap", was.overlap == wanted.overlap),
            ("--fragment-timeout", was.fragmentTimeout == wanted.fragmentTimeout),
            ("--fragment-memory", was.fragmentMemory == wanted.fragmentMemory),
            ("--spill and its options", was.spill == wanted.spill),
            ("--admit, --admit-by or --admit-match", was.admit == wanted.admit),
            ("--on-full", was.onFull == wanted.onFull), ("--metrics", was.metrics == wanted.metrics),
            ("--report", was.report == wanted.report), ("--serve", was.serve == wanted.serve),
        ]
        return all.filter { !$0.1 }.map(\.0)
    }
}
