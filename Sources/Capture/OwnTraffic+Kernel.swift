internal import CXDP
import Machine
import Synchronization

/// The kernel's copy of the table, in the maps of XDP programs: what it holds passes to the stack instead of being
/// captured, as far as it is addressed to the interface itself.
struct OwnTrafficMaps {
    /// Map of connections and listeners, and map of this machine's addresses.
    var connections: Int32
    var addresses: Int32
    /// What the second one holds.
    var entered: Set<Endpoint> = []
}

extension OwnTraffic {
    /// From now on writes every change into these maps, and at once all that is in the table.
    func feed(connections: Int32, addresses: Int32) {
        let present = LocalAddresses.current()
        unsafe control.pointee.withLock { control in
            control.maps.append(OwnTrafficMaps(connections: connections, addresses: addresses))
            for slot in control.slots { mark(slot, true, in: connections) }
            enter(present, &control)
        }
    }

    /// Writes the change of a slot into all maps. A key that another slot still has stays.
    func mirror(_ old: OwnTrafficSlot, _ new: OwnTrafficSlot, _ control: OwnTrafficControl) {
        for maps in control.maps {
            mark(new, true, in: maps.connections)
            if !control.slots.contains(where: { $0 == old }) { mark(old, false, in: maps.connections) }
        }
    }

    /// Brings the machine's addresses in all maps up to date.
    func enter(_ addresses: [Endpoint], _ control: inout OwnTrafficControl) {
        // fe80::1 of two interfaces is one address to the program.
        let wanted = Set(addresses.map { Endpoint(addressHigh: $0.addressHigh, addressLow: $0.addressLow, port: 0) })
        for place in control.maps.indices {
            let map = control.maps[place].addresses
            for address in wanted.symmetricDifference(control.maps[place].entered) {
                var key = spillway_address(words: (address.addressHigh, address.addressLow))
                _ = unsafe spillway_xdp_mark(map, &key, wanted.contains(address))
            }
            control.maps[place].entered = wanted
        }
    }

    private func mark(_ slot: OwnTrafficSlot, _ isThere: Bool, in map: Int32) {
        guard slot.key != 0 else { return }
        var key = spillway_own_key()
        key.local = (slot.localHigh, slot.localLow)
        key.remote = (slot.remoteHigh, slot.remoteLow)
        key.local_port = slot.localPort.bigEndian
        key.remote_port = slot.remotePort.bigEndian
        _ = unsafe spillway_xdp_mark(map, &key, isThere)
    }
}
