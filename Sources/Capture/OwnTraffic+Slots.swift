import Machine
import Pcapng
import Synchronization

/// What stands in a slot, in this order; the sequence number comes first and is odd while the rest changes.
struct OwnTrafficSlot: BitwiseCopyable, Equatable {
    /// What the slot is for.
    enum Kind {
        static var none: UInt64 { @_noLocks get { 0 } }
        static var connection: UInt64 { @_noLocks get { 1 } }
        /// Any remote end.
        static var listener: UInt64 { @_noLocks get { 2 } }
        /// Any remote end, and any address of this machine of the families in `families`.
        static var anyListener: UInt64 { @_noLocks get { 3 } }
    }

    /// Kind, then the ports: kind << 32 | local << 16 | remote. For `anyListener` bit 40 says that IPv4 only
    /// is meant.
    var key: UInt64 = 0
    var localHigh: UInt64 = 0, localLow: UInt64 = 0
    var remoteHigh: UInt64 = 0, remoteLow: UInt64 = 0

    var kind: UInt64 { @_noLocks get { key >> 32 & 0xFF } }
    var isIPv4Only: Bool { @_noLocks get { key >> 40 & 1 == 1 } }
    var localPort: UInt16 { @_noLocks get { UInt16(truncatingIfNeeded: key >> 16) } }
    var remotePort: UInt16 { @_noLocks get { UInt16(truncatingIfNeeded: key) } }

    /// A connection.
    init(local: Endpoint, remote: Endpoint) {
        self.init(Kind.connection, local, remotePort: remote.port)
        (remoteHigh, remoteLow) = (remote.addressHigh, remote.addressLow)
    }

    /// A listener.
    init(listener local: Endpoint) {
        self.init(local.isAny ? Kind.anyListener : Kind.listener, local, remotePort: 0)
        if local.isAny && local.isIPv4 { key |= 1 << 40 }
    }

    /// A slot that matches nothing, or one read from the table.
    @_noLocks init(key: UInt64 = 0) { self.key = key }

    private init(_ kind: UInt64, _ local: Endpoint, remotePort: UInt16) {
        key = kind << 32 | UInt64(local.port) << 16 | UInt64(remotePort)
        (localHigh, localLow) = (local.addressHigh, local.addressLow)
    }
}

extension OwnTraffic {
    /// Looks for the slot of a packet one of whose ports is in use.
    @_noLocks
    func matchesSlot(_ headers: PacketHeaders, slots count: Int) -> Bool {
        var index = 0
        while index < count {
            let base = Word.slots + index * Word.perSlot
            let key = unsafe words[base + 1].load(ordering: .relaxed)
            let local = UInt16(truncatingIfNeeded: key >> 16)
            if key != 0, local == headers.sourcePort || local == headers.destinationPort,
                let slot = stable(base), matches(headers, slot)
            {
                return true
            }
            index += 1
        }
        return false
    }

    /// The slot as it was at one moment. Nil while it changes: it then holds nothing that sends already, or
    /// nothing any more, and a worker does not wait.
    @_noLocks
    private func stable(_ base: Int) -> OwnTrafficSlot? {
        let before = unsafe words[base].load(ordering: .acquiring)
        var slot = unsafe OwnTrafficSlot(key: words[base + 1].load(ordering: .relaxed))
        unsafe slot.localHigh = words[base + 2].load(ordering: .relaxed)
        unsafe slot.localLow = words[base + 3].load(ordering: .relaxed)
        unsafe slot.remoteHigh = words[base + 4].load(ordering: .relaxed)
        unsafe slot.remoteLow = words[base + 5].load(ordering: .relaxed)
        atomicMemoryFence(ordering: .acquiring)
        let after = unsafe words[base].load(ordering: .relaxed)
        return before == after && before & 1 == 0 ? slot : nil
    }

    /// Whether the packet goes from the slot's local end to its remote end or back.
    @_noLocks
    private func matches(_ headers: PacketHeaders, _ slot: OwnTrafficSlot) -> Bool {
        if headers.sourcePort == slot.localPort,
            matches(
                slot, localHigh: headers.sourceHigh, localLow: headers.sourceLow,
                remoteHigh: headers.destinationHigh, remoteLow: headers.destinationLow,
                remotePort: headers.destinationPort)
        {
            return true
        }
        return headers.destinationPort == slot.localPort
            && matches(
                slot, localHigh: headers.destinationHigh, localLow: headers.destinationLow,
                remoteHigh: headers.sourceHigh, remoteLow: headers.sourceLow, remotePort: headers.sourcePort)
    }

    @_noLocks @inline(__always)
    private func matches(
        _ slot: OwnTrafficSlot, localHigh: UInt64, localLow: UInt64, remoteHigh: UInt64, remoteLow: UInt64,
        remotePort: UInt16
    ) -> Bool {
        switch slot.kind {
        case OwnTrafficSlot.Kind.connection:
            return slot.remotePort == remotePort && slot.localLow == localLow && slot.localHigh == localHigh
                && slot.remoteLow == remoteLow && slot.remoteHigh == remoteHigh
        case OwnTrafficSlot.Kind.listener:
            return slot.localLow == localLow && slot.localHigh == localHigh
        case OwnTrafficSlot.Kind.anyListener:
            let address = Endpoint(addressHigh: localHigh, addressLow: localLow, port: 0)
            return (address.isIPv4 || !slot.isIPv4Only) && isOfThisMachine(address)
        default:
            return false
        }
    }

    /// Writes a slot. Only under the control plane's mutex.
    func write(_ slot: OwnTrafficSlot, at index: Int) {
        beginChange(at: index)
        let base = Word.slots + index * Word.perSlot
        unsafe words[base + 1].store(slot.key, ordering: .relaxed)
        unsafe words[base + 2].store(slot.localHigh, ordering: .relaxed)
        unsafe words[base + 3].store(slot.localLow, ordering: .relaxed)
        unsafe words[base + 4].store(slot.remoteHigh, ordering: .relaxed)
        unsafe words[base + 5].store(slot.remoteLow, ordering: .relaxed)
        endChange(at: index)
    }

    /// From here on the slot is not to be believed. `package` for the tests, which stop half way.
    package func beginChange(at index: Int) {
        let base = Word.slots + index * Word.perSlot
        unsafe words[base].store(words[base].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
    }

    /// The slot is whole again.
    package func endChange(at index: Int) {
        let base = Word.slots + index * Word.perSlot
        unsafe words[base].store(words[base].load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }

    /// Marks a port as in use, or as free.
    func set(_ port: UInt16, inUse: Bool) {
        let word = Word.ports + Int(port) / 64
        let bit = UInt64(1) << UInt64(port % 64)
        let old = unsafe words[word].load(ordering: .relaxed)
        unsafe words[word].store(inUse ? old | bit : old & ~bit, ordering: .releasing)
    }

    /// Publishes how many slots may match.
    func setCount(_ count: Int) {
        unsafe words[0].store(UInt64(count), ordering: .releasing)
    }
}
