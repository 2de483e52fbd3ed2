internal import CMachine
public import Machine
public import Pcapng

/// What is to be done with a fragment.
@frozen public enum FragmentVerdict: BitwiseCopyable {
    /// It goes on as it was captured; the counter says why.
    case pass(Counter)
    /// It was copied and is kept until its datagram is complete or given up.
    case held
    /// It is the last one its datagram waited for. The datagram is written with `writeCompleted`, and ends with
    /// `releaseCompleted`; until then nothing has changed, and the fragment may be presented again.
    case complete(CompletedDatagram)
    /// Older datagrams had to make room: what left them must go on first, then the fragment is presented again.
    case makeRoom
}

/// A datagram that is about to leave.
public struct CompletedDatagram: BitwiseCopyable {
    /// Bytes of the whole packet, link layer included.
    public var byteCount: Int
    /// Frames it is made of, the present one and duplicates included.
    public var fragments: UInt32
    /// Of these, the ones held until now.
    public var held: UInt32 { @_noLocks get { fragments &- 1 } }

    @_noLocks init(byteCount: Int, fragments: UInt32) { (self.byteCount, self.fragments) = (byteCount, fragments) }
}

/// Puts fragments of IPv4 (RFC 791) and IPv6 (RFC 8200) together, in fixed memory.
///
/// A fragment is copied when it comes, so its frame can be given back at once. A datagram that is complete is written in
/// one piece wherever the caller wants it; one that is given up leaves as the frames that came, through `leaving`. Nothing
/// is lost here: every frame ends in a datagram, or leaves.
///
/// It belongs to one thread. Everything but the initialiser is for the data plane.
@safe public struct Reassembler: ~Copyable {
    // Safe because `pendingBytes` is only read between the `take` that set it and the caller's next step, for which the
    // caller keeps the frame.
    var store: FrameStore
    var table: DatagramTable
    var clock: PacketClock
    let owners: OwnerMap
    let policy: OverlapPolicy
    private let timeout: UInt64
    private let seed: HashSeed
    let counters: Counters
    /// Frames that leave as they came, in order.
    var leavers = FrameList()
    /// When the oldest datagram is given up.
    private var nextDeadline: UInt64 = .max
    /// The fragment that was taken last.
    var pending: PendingFragment

    /// Fragments of a datagram at most: 64 KiB over the least MTU of IPv4, and then some.
    static var fragmentLimit: UInt32 { @_noLocks get { 2048 } }
    /// Fragments of a datagram at most that repeat or overlap others: each costs a search among the others.
    static var overlapLimit: UInt32 { @_noLocks get { 64 } }
    /// A first fragment with less data than that does not hold the ports and flags of TCP (RFC 1858).
    private static var tiny: Int { @_noLocks get { 16 } }

    /// An empty table.
    ///
    /// - Parameters:
    ///   - memory: `settings.memory` bytes, aligned to 64, touched, and used by nobody else from now on.
    ///   - seed: the same for all workers of a run.
    ///   - counters: the worker's own.
    @unsafe public init(
        _ settings: ReassemblySettings, memory: UnsafeMutableRawPointer, seed: HashSeed, counters: Counters
    ) {
        precondition(settings.memory >= ReassemblySettings.leastMemory, "too little memory for fragments")
        let layout = ReassemblyLayout(memory: settings.memory)
        unsafe table = DatagramTable(memory: memory, capacity: layout.datagrams)
        let blocks = unsafe memory + layout.tableBytes
        unsafe store = FrameStore(memory: blocks, count: layout.blocks)
        unsafe owners = OwnerMap(memory: blocks + layout.blocks * FrameStore.blockBytes)
        clock = PacketClock(slack: settings.timeout)
        (policy, timeout, self.seed, self.counters) = (settings.policy, settings.timeout, seed, counters)
        let nothing = FrameStamp(time: 0, interface: 0, captured: 0, original: 0)
        unsafe pending = PendingFragment(nothing, FragmentHeaders(), Extent(0, 0), memory)
    }

    /// A number of the fragment's datagram that all workers of a run agree on, evenly spread.
    @_noLocks @inline(__always)
    public func owner(_ headers: FragmentHeaders, interface: UInt32, of workers: Int) -> Int {
        let hash = DatagramKey(headers, interface: interface).hash(seed)
        // The upper half: the lower one chooses the bucket.
        return Int(((hash >> 32) &* UInt64(workers)) >> 32)
    }

    /// Whether there are unfinished datagrams, or frames on their way out.
    public var isEmpty: Bool { @_noLocks get { table.count == 0 && leavers.isEmpty } }

    // ---- time -----------------------------------------------------------------------------------------------------------

    /// A packet, fragment or not, came with this stamp: gives up what has waited too long. To be called for every packet
    /// while there are unfinished datagrams.
    @_noLocks @inline(__always)
    public mutating func advance(stamp: UInt64, arrival: UInt64) {
        clock.advance(stamp: stamp, arrival: arrival)
        if clock.now >= nextDeadline { expire() }
    }

    /// No packet comes, and it is now this late.
    @_noLocks public mutating func idle(until arrival: UInt64) {
        clock.idle(until: arrival)
        if clock.now >= nextDeadline { expire() }
    }

    @_noLocks private mutating func expire() {
        while table.oldest != DatagramTable.none, unsafe table.datagram(table.oldest).pointee.deadline <= clock.now {
            giveUp(table.oldest, .unassembledTimeout)
        }
    }

    /// The run ends: everything unfinished leaves.
    @_noLocks public mutating func giveUpAll() {
        while table.oldest != DatagramTable.none { giveUp(table.oldest, .unassembledEnd) }
    }

    // ---- a fragment -----------------------------------------------------------------------------------------------------

    /// Takes a fragment. Nothing may be `leaving` when it is called.
    ///
    /// - Parameter bytes: `stamp.captured` bytes, which must stay where they are until the verdict is carried out.
    @_noLocks
    public mutating func take(
        _ stamp: FrameStamp, _ headers: FragmentHeaders, _ bytes: UnsafeRawPointer, arrival: UInt64
    ) -> FragmentVerdict {
        if let reason = Self.refusal(headers) { return .pass(reason) }
        // More padding than memory: it could never be kept.
        if FrameStore.blocks(for: stamp.captured) > store.count { return .pass(.unassembledMemoryFull) }
        advance(stamp: stamp.time, arrival: arrival)
        if !leavers.isEmpty { return .makeRoom }
        // The frame is copied in a moment; until then its datagram is looked for.
        unsafe spillway_prefetch_range(bytes, min(Int(stamp.captured), 2048))
        let extent = Extent(
            UInt16(truncatingIfNeeded: headers.offset), UInt16(truncatingIfNeeded: headers.offset + headers.dataLength))
        let key = DatagramKey(headers, interface: stamp.interface)
        let hash = key.hash(seed)
        let number = table.find(key, hash: hash)
        unsafe pending = PendingFragment(stamp, headers, extent, bytes)
        if number == DatagramTable.none { return begin(key, hash) }
        return add(to: number)
    }

    /// Why a fragment goes on alone, if that is so: it is whole, or can be no part of any datagram, so that hosts throw it
    /// away alone.
    @_noLocks
    public static func refusal(_ headers: FragmentHeaders) -> Counter? {
        if headers.isNested { return .unassembledNested }
        if headers.isAtomic { return .atomicFragments }
        if headers.dataLength <= 0 { return .unassembledEmpty }
        if headers.isCut { return .unassembledCut }
        let header = headers.version == 4 ? headers.dataStart - headers.networkOffset : 0
        if header + headers.offset + headers.dataLength > 65535 { return .unassembledTooLarge }
        if headers.moreFragments, headers.dataLength & 7 != 0 { return .unassembledBadLength }
        return nil
    }

    /// The first fragment to come of a datagram.
    @_noLocks
    private mutating func begin(_ key: DatagramKey, _ hash: UInt64) -> FragmentVerdict {
        let crowdedOut = table.crowdedOut(hash: hash)
        if crowdedOut != DatagramTable.none {
            giveUp(crowdedOut, .unassembledCollision)
        } else if table.isFull {
            giveUp(table.oldest, .unassembledTableFull)
        }
        if !leavers.isEmpty || !secureMemory(excluding: DatagramTable.none) { return .makeRoom }
        let number = table.add(
            key, hash: hash, deadline: clock.now &+ timeout, firstTime: pending.stamp.time)
        if table.count == 1 { nextDeadline = clock.now &+ timeout }
        return keep(in: number)
    }

    /// Makes sure that there are blocks for the pending frame. False if somebody had to go first, or, with nobody left to
    /// go, there cannot be any.
    @_noLocks
    mutating func secureMemory(excluding number: UInt32) -> Bool {
        let needed = FrameStore.blocks(for: pending.stamp.captured)
        if store.free >= needed { return true }
        var coming = store.free
        while coming < needed {
            var oldest = table.oldest
            if oldest == number, oldest != DatagramTable.none {
                oldest = unsafe table.datagram(oldest).pointee.newer
            }
            if oldest == DatagramTable.none { break }
            coming += giveUp(oldest, .unassembledMemoryFull)
        }
        return false
    }

    /// Ends a datagram: its frames leave as they came. Returns how many blocks will be free then.
    @_noLocks @discardableResult
    mutating func giveUp(_ number: UInt32, _ reason: Counter) -> Int {
        let blocks = unsafe dismiss(table.datagram(number), reason)
        remove(number)
        return blocks
    }

    /// The frames of a datagram leave as they came.
    @_noLocks @discardableResult
    mutating func dismiss(_ datagram: UnsafeMutablePointer<Datagram>, _ reason: Counter) -> Int {
        let frames = unsafe datagram.pointee.frames
        guard !frames.isEmpty else { return 0 }
        var blocks = 0
        var frame = frames.first
        while frame != FrameStore.none {
            let stored = store[frame]
            blocks += Int(stored.blocks)
            frame = stored.next
        }
        leavers.append(frames, in: store)
        counters.add(reason, UInt64(frames.count))
        unsafe datagram.pointee.frames = FrameList()
        return blocks
    }

    /// Removes a datagram that holds no frames any more.
    @_noLocks
    mutating func remove(_ number: UInt32) {
        table.remove(number)
        let oldest = table.oldest
        nextDeadline = oldest == DatagramTable.none ? .max : unsafe table.datagram(oldest).pointee.deadline
    }

    /// Whether a fragment is a tiny one.
    @_noLocks @inline(__always)
    static func isTiny(_ pending: PendingFragment) -> Bool {
        pending.headers.moreFragments && pending.extent.count < tiny
    }
}
