internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache
internal import Transfer

/// Destinations that come and go while the run goes on. Control plane.
extension Egress {
    /// Makes the changes that were asked for.
    mutating func makeChanges(now: UInt64) {
        pendingChanges += setup.changes.take()
        if let work = sweepBehind, cache?.keeper.hasDone(work) != false { sweepBehind = nil }
        holdsSweep = !pendingChanges.isEmpty || sweepBehind != nil
        if pendingChanges.isEmpty { return }
        // What is being written to disk belongs to those who are there now. Nothing more begins to be while changes wait.
        if let line = unsafe spill, unsafe line.pointee.underWay > 0 { return }
        defer {
            pendingChanges = []
            // What goes to disk from now on may belong to somebody who is to be written down before.
            sweepBehind = cache?.keeper.posted
            holdsSweep = sweepBehind != nil
        }
        for change in pendingChanges {
            switch change {
            case .add(let plan): add(plan, now: now)
            case .remove(let plan): if let place = connection(of: plan) { remove(place) }
            case .move(let plan, let other): move(plan, other, now: now)
            case .limits(let limits):
                setup.limits = limits
                stream.limits.ackWindow = limits.ackWindow
                stream.limits.statisticsInterval = limits.statisticsInterval
                drainTimeout = limits.drainTimeout
            case .allow(let subnets): setup.allowed = subnets
            }
        }
    }

    /// The connection of a plan that connects.
    private func connection(of plan: Int) -> Int? {
        (0..<connectionCount).first { unsafe connections[$0].plan == plan && !connections[$0].isGuest }
    }

    private mutating func add(_ plan: DestinationPlan, now: UInt64) {
        let spare = (0..<connectionCount).first { unsafe connections[$0].isSpare }
        // Whoever asks has counted the places.
        guard let place = spare, setup.plans.count < setup.counters.count else { return }
        setup.plans.append(plan)
        let number = setup.plans.count - 1
        let destination = unsafe connections + place
        unsafe destination.pointee.assume(number, plan, setup.counters[number], now: now)
        let slot = unsafe destination.pointee.slot
        unsafe index.join(slot, holds: destination.pointee.holds)
        joinCache(place, plan)
        if setup.shares.count > 0 {
            giveLanes(place)
        } else if plan.takesBacklog {
            oweBacklog(place)
        }
        if let cache { noteNames(cache) }
        setup.log("\(plan.name): added")
    }

    private mutating func move(_ number: Int, _ plan: DestinationPlan, now: UInt64) {
        guard let place = connection(of: number) else { return }
        let hasMoved = setup.plans[number].address != plan.address
        setup.plans[number] = plan
        sharing = Sharing()
        guard hasMoved else { return }
        unsafe connections[place].address = 0
        offerEarlier(place)
        setup.log("\(plan.name): now at \(plan.address)")
        switch unsafe connections[place].state {
        case .up, .connecting:
            retry(place, now: now, because: nil)
            unsafe connections[place].retryAt = now
        case .waiting: unsafe connections[place].retryAt = now
        case .vacant, .closing, .finished: break
        }
    }

    /// Takes a destination out: its place is free again, its counters stay.
    private mutating func remove(_ place: Int) {
        let destination = unsafe connections + place
        if unsafe destination.pointee.isAgreed && destination.pointee.pieces.isEmpty {
            say(place, End(.leaving, "the relay sends here no more").encoded())
        }
        remembered.append(unsafe destination.pointee.outcome)
        unsafe destination.pointee.takeBack(&index, resends: false, orphans: .droppedRemoved)
        closeSocket(place)
        if setup.shares.count > 0 { bequeath(place) }
        leaveCache(place)
        let slot = unsafe destination.pointee.slot
        let lost = giveUpUnsent(slot)
        _ = index.leave(slot)
        unsafe destination.pointee.unsentPackets -= lost
        unsafe destination.pointee.counters.add(.droppedRemoved, lost)
        unsafe destination.pointee.counters.set(.inMemory, 0)
        unsafe destination.pointee.counters.publish()
        talks[place] = Talk()
        setup.log("\(name(place)): removed\(lost > 0 ? ", \(lost) packets were owed to it" : "")")
        unsafe destination.pointee.state = .vacant
        unsafe destination.pointee.plan = Destination.noPlan
    }
}

extension Destination {
    /// No destination has this place.
    static var noPlan: Int { -1 }
    var isSpare: Bool { plan == Self.noPlan }

    /// A destination that was added takes the place.
    mutating func assume(_ number: Int, _ what: DestinationPlan, _ counters: Counters, now: UInt64) {
        (plan, self.counters) = (number, counters)
        setWire(what.wire)
        (newestFirst, policy, holds) = (what.newestFirst, what.ack, what.holds)
        (hasGreeted, isRefused, wasRefused, wasUp, isBroken) = (false, false, false, false, false)
        (address, pause, retryAt, lane, downSince, unsentPackets) = (0, 0, 0, 0, 0, 0)
        ages = Ages()
        lastProgress = now
        (leavesEarlier, offersAt) = (false, 0)
        state = .waiting
        unsafe disk = what.spills ? ownDisk : nil
    }
}
