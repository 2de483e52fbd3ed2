import Glibc
import Machine
import Synchronization

/// The addresses of this machine, as a listener on any address needs them: two lists in shared memory, of
/// which one is read while the other is written.
///
/// Words: how many times the list was replaced; then for each of the two lists its length and its addresses.
enum LocalAddresses {
    /// Addresses beyond these are left out.
    static var capacity: Int { @_noLocks get { 512 } }
    /// Words of one list.
    static var listWords: Int { @_noLocks get { 1 + 2 * capacity } }
    /// Words of both lists.
    static var wordCount: Int { @_noLocks get { 2 * listWords } }

    /// The addresses of all interfaces (getifaddrs(3)).
    static func current() -> [Endpoint] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var addresses: [Endpoint] = []
        var entry = unsafe list
        while let current = unsafe entry {
            if let address = unsafe current.pointee.ifa_addr, let endpoint = unsafe endpoint(address) {
                addresses.append(endpoint)
            }
            unsafe entry = current.pointee.ifa_next
        }
        return addresses
    }

    private static func endpoint(_ address: UnsafeMutablePointer<sockaddr>) -> Endpoint? {
        let bytes = UnsafeRawPointer(address)
        switch Int32(unsafe address.pointee.sa_family) {
        case AF_INET: return Endpoint(unsafe bytes.loadUnaligned(as: sockaddr_in.self))
        case AF_INET6: return Endpoint(unsafe bytes.loadUnaligned(as: sockaddr_in6.self))
        default: return nil
        }
    }
}

extension OwnTraffic {
    /// Whether an address is one of this machine's. 127.0.0.0/8 is, without being listed.
    @_noLocks
    func isOfThisMachine(_ address: Endpoint) -> Bool {
        if address.isLoopback { return true }
        let generation = unsafe words[Word.addresses].load(ordering: .acquiring)
        let list = Self.list(generation)
        let count = min(Int(unsafe words[list].load(ordering: .relaxed)), LocalAddresses.capacity)
        var index = 0
        var found = false
        while index < count && !found {
            let entry = list + 1 + 2 * index
            found =
                unsafe words[entry].load(ordering: .relaxed) == address.addressHigh
                && words[entry + 1].load(ordering: .relaxed) == address.addressLow
            index += 1
        }
        atomicMemoryFence(ordering: .acquiring)
        // The list just read is written again only after the other one was published.
        return unsafe found && words[Word.addresses].load(ordering: .relaxed) == generation
    }

    /// Reads the machine's addresses anew. Only under the control plane's mutex.
    func replaceAddresses(_ addresses: [Endpoint]) {
        let generation = unsafe words[Word.addresses].load(ordering: .relaxed) &+ 1
        let list = Self.list(generation)
        // A worker that still reads this list since the turn before must see that it is out of date.
        atomicMemoryFence(ordering: .releasing)
        for (index, address) in addresses.prefix(LocalAddresses.capacity).enumerated() {
            unsafe words[list + 1 + 2 * index].store(address.addressHigh, ordering: .relaxed)
            unsafe words[list + 2 + 2 * index].store(address.addressLow, ordering: .relaxed)
        }
        unsafe words[list].store(UInt64(min(addresses.count, LocalAddresses.capacity)), ordering: .relaxed)
        unsafe words[Word.addresses].store(generation, ordering: .releasing)
    }

    @_noLocks
    private static func list(_ generation: UInt64) -> Int {
        Word.addresses + 1 + (generation & 1 == 0 ? 0 : LocalAddresses.listWords)
    }
}
