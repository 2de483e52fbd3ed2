public import Machine
public import Pcapng
public import Synchronization

/// The table of our own connections: what a capture must not take in, because sending it on would make more
/// of it.
///
/// The control plane enters a connection before it connects, and a listener before it listens. Workers ask
/// for each packet, without locks. An entry that was left still matches for ``lingering``, because the kernel
/// goes on sending for a closed connection (TIME_WAIT, RFC 9293).
///
/// Layout: a count that is 0 for an empty table; one bit per local port in use; the slots, each under a
/// sequence number that is odd while the slot changes; the machine's addresses, for listeners on any address.
///
/// SAFETY: the memory is never freed; everything a worker reads is atomic; the control plane writes under one
/// mutex.
@safe public struct OwnTraffic: @unchecked Sendable {
    /// How many connections and listeners there can be, those that were left lately included.
    public static var capacity: Int { @_noLocks @inlinable get { 256 } }
    /// How long an entry that was left still matches: twice the longest life of a segment.
    public static let lingering: UInt64 = 240_000_000_000
    /// Bytes the table takes, for the memory budget.
    public static var byteCount: Int { Word.total * 8 }

    /// Words of the table, by what they hold.
    enum Word {
        static var ports: Int { @_noLocks get { 8 } }
        static var slots: Int { @_noLocks get { ports + 65536 / 64 } }
        static var perSlot: Int { @_noLocks get { 8 } }
        static var addresses: Int { @_noLocks get { slots + 256 * perSlot } }
        static var total: Int { @_noLocks get { addresses + 1 + LocalAddresses.wordCount } }
    }

    /// Word 0: how many slots may match. The slots from there on were never used.
    @usableFromInline let words: UnsafePointer<Atomic<UInt64>>
    let control: UnsafeMutablePointer<Mutex<OwnTrafficControl>>

    /// An empty table.
    public init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe region.base.initializeMemory(as: UInt64.self, repeating: 0, count: Word.total)
        unsafe words = UnsafePointer(region.base.assumingMemoryBound(to: Atomic<UInt64>.self))
        unsafe control = .allocate(capacity: 1)
        unsafe control.initialize(to: Mutex(OwnTrafficControl()))
    }

    /// Whether the packet belongs to a connection in the table, in either direction, or is an ICMP error
    /// about one.
    ///
    /// A part of a fragmented packet that does not hold the ports is not recognised; the kernel does not
    /// fragment TCP.
    @_noLocks @inlinable @inline(__always)
    public func matches(_ bytes: UnsafeRawPointer, captured: Int, linkType: UInt16) -> Bool {
        if unsafe words[0].load(ordering: .relaxed) == 0 { return false }
        let headers = unsafe PacketHeaders(bytes, captured: captured, linkType: linkType)
        return unsafe matches(headers, bytes, captured: captured)
    }

    /// The same for a packet whose headers were read already.
    @_noLocks
    public func matches(_ headers: PacketHeaders, _ bytes: UnsafeRawPointer, captured: Int) -> Bool {
        let count = unsafe words[0].load(ordering: .acquiring)
        if count == 0 { return false }
        switch headers.protocolNumber {
        case 6: return matches(headers, slots: Int(count))
        case 1, 58: return matches(unsafe headers.quoted(bytes, captured: captured), slots: Int(count))
        default: return false
        }
    }

    @_noLocks @inline(__always)
    private func matches(_ headers: PacketHeaders, slots count: Int) -> Bool {
        guard headers.hasPorts, headers.protocolNumber == 6 else { return false }
        guard isInUse(headers.sourcePort) || isInUse(headers.destinationPort) else { return false }
        return matchesSlot(headers, slots: count)
    }

    @_noLocks @inline(__always)
    private func isInUse(_ port: UInt16) -> Bool {
        unsafe words[Word.ports + Int(port) / 64].load(ordering: .relaxed) >> UInt64(port % 64) & 1 == 1
    }
}
