public import Machine
import Pcapng
import Synchronization

/// What the control plane remembers of the slots.
struct OwnTrafficControl {
    /// One slot's life.
    enum State: Equatable {
        case free
        case entered
        /// Left at this time (monotonic, nanoseconds).
        case left(UInt64)
    }

    var slots = [OwnTrafficSlot](repeating: OwnTrafficSlot(), count: OwnTraffic.capacity)
    var states = [State](repeating: .free, count: OwnTraffic.capacity)
    /// How often each slot was entered; part of the ticket, so that an old ticket does nothing.
    var turns = [Int](repeating: 0, count: OwnTraffic.capacity)
    /// Slots from here on were never used.
    var used = 0
    /// The kernel's copies of the table.
    var maps: [OwnTrafficMaps] = []

    /// The slot to enter next: one that is free, else the one that was left longest ago.
    func slotToEnter() -> Int? {
        if let free = states.firstIndex(of: .free) { return free }
        var oldest: (index: Int, time: UInt64)?
        for (index, state) in states.enumerated() {
            if case .left(let time) = state, time < oldest?.time ?? .max { oldest = (index, time) }
        }
        return oldest?.index
    }
}

extension OwnTraffic {
    /// Enters a connection. Call it before connect(2) with the local end that bind(2) gave, and for an
    /// accepted connection at once.
    ///
    /// - Returns: a ticket for `leave`; nil if `capacity` connections and listeners are entered and none was
    ///   left.
    public func enter(local: Endpoint, remote: Endpoint) -> Int? {
        enter(OwnTrafficSlot(local: local, remote: remote))
    }

    /// Enters a listener: all connections to this local end, from anywhere. The address may be 0.0.0.0 (all
    /// IPv4 addresses of this machine) or :: (all addresses of this machine); see `refreshAddresses`.
    ///
    /// - Returns: a ticket for `leave`; nil if `capacity` connections and listeners are entered and none was
    ///   left.
    public func enterListener(local: Endpoint) -> Int? {
        if local.isAny { refreshAddresses() }
        return enter(OwnTrafficSlot(listener: local))
    }

    /// The connection or the listener is closed. The entry goes on matching for `lingering`, or until its
    /// slot is needed; the entry that was left longest ago gives way first. A ticket that was left before
    /// does nothing.
    public func leave(_ ticket: Int) {
        let (index, turn) = (ticket % Self.capacity, ticket / Self.capacity)
        unsafe control.pointee.withLock { control in
            guard control.turns[index] == turn, control.states[index] == .entered else { return }
            control.states[index] = .left(Clock.monotonic())
        }
    }

    /// Frees the entries that were left longer than `lingering` ago. For the control plane, now and then.
    ///
    /// - Parameter now: the monotonic clock.
    public func expire(now: UInt64 = Clock.monotonic()) {
        unsafe control.pointee.withLock { control in
            for index in 0..<control.used {
                if case .left(let time) = control.states[index], now >= time &+ Self.lingering {
                    control.states[index] = .free
                    replace(index, with: OwnTrafficSlot(), &control)
                }
            }
            // An empty table costs its readers one load again.
            while control.used > 0, control.states[control.used - 1] == .free { control.used -= 1 }
            setCount(control.used)
        }
    }

    /// Reads the machine's addresses anew, for listeners on any address. For the control plane, now and then.
    public func refreshAddresses() {
        let addresses = LocalAddresses.current()
        unsafe control.pointee.withLock { control in
            replaceAddresses(addresses)
            enter(addresses, &control)
        }
    }

    private func enter(_ slot: OwnTrafficSlot) -> Int? {
        unsafe control.pointee.withLock { control in
            guard let index = control.slotToEnter() else { return nil }
            replace(index, with: slot, &control)
            control.states[index] = .entered
            control.turns[index] += 1
            control.used = max(control.used, index + 1)
            setCount(control.used)
            return control.turns[index] * Self.capacity + index
        }
    }

    /// Changes a slot and the set of ports. A port is in the set before the slot can match and until it
    /// cannot any more.
    private func replace(_ index: Int, with slot: OwnTrafficSlot, _ control: inout OwnTrafficControl) {
        let old = control.slots[index]
        if slot.key != 0 { set(slot.localPort, inUse: true) }
        write(slot, at: index)
        control.slots[index] = slot
        mirror(old, slot, control)
        let isUsed = control.slots.contains { $0.key != 0 && $0.localPort == old.localPort }
        if old.key != 0, !isUsed { set(old.localPort, inUse: false) }
    }
}
