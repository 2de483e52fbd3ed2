internal import CMachine
internal import CXDP
internal import Capture
internal import Glibc
internal import Machine
internal import Synchronization

/// A queue of an interface that frames are put on the wire through, with memory for those under way. One thread uses it.
///
/// `put` copies a frame into that memory; `flush` shows the kernel what was put. A packet socket takes the same frames
/// from the same memory, one call for many.
@safe struct TransmitQueue: ~Copyable {
    // Safe because rings, memory and socket belong to this value from `init` to `deinit`.

    /// Frames under way at most, and the bytes of each.
    static var frameCount: Int { @_noLocks get { 4096 } }
    static var frameBytes: Int { @_noLocks get { 4096 } }
    /// Frames that are shown to the kernel at once: what a call in copy mode takes (TX_BATCH_SIZE, net/xdp/xsk.c).
    static var burst: UInt32 { @_noLocks get { 32 } }

    /// How it sends.
    let mode: TransmitMode
    /// Frames the kernel took, and those it said the driver threw away.
    private(set) var taken: UInt64 = 0, dropped: UInt64 = 0
    /// The errno that ended it, 0 while it works.
    private(set) var failure: Int32 = 0

    private let socket: Int32
    private let frames: UnsafeMutableRawPointer
    /// Addresses of free frames, the next one last.
    private let free: UnsafeMutablePointer<UInt64>
    private var freeCount: Int
    /// Frames that were put and not shown to a packet socket yet.
    private let waiting: UnsafeMutablePointer<UInt64>
    private let lengths: UnsafeMutablePointer<UInt32>
    private var waitingCount: UInt32 = 0
    private let transmit: XDPRing?
    private let completion: XDPRing?
    private var produced: UInt32 = 0
    private var published: UInt32 = 0
    private var completed: UInt32 = 0

    /// Opens the interface's first queue.
    init(interface: Int32, mode: TransmitMode) throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.frameCount * Self.frameBytes, pages: .transparent)
        let opened =
            try mode.isRing
            ? Self.open(interface, region, zeroCopy: mode == .zeroCopy) : Self.openPacketSocket(interface)
        (socket, transmit, completion) = (opened.socket, opened.transmit, opened.completion)
        self.mode = mode
        unsafe frames = region.base
        unsafe free = .allocate(capacity: Self.frameCount)
        for place in 0..<Self.frameCount {
            unsafe free[place] = UInt64((Self.frameCount - 1 - place) * Self.frameBytes)
        }
        freeCount = Self.frameCount
        unsafe waiting = .allocate(capacity: Int(Self.burst))
        unsafe lengths = .allocate(capacity: Int(Self.burst))
    }

    private struct Opened {
        var socket: Int32
        var transmit: XDPRing?
        var completion: XDPRing?
    }

    private static func openPacketSocket(_ interface: Int32) throws(SystemError) -> Opened {
        let made = spillway_transmit_packet_socket(interface)
        if made < 0 { throw SystemError("socket", "AF_PACKET", code: -made) }
        return Opened(socket: made)
    }

    private static func open(
        _ interface: Int32, _ region: MemoryRegion, zeroCopy: Bool
    ) throws(SystemError) -> Opened {
        let socket = spillway_xdp_socket()
        if socket < 0 { throw SystemError("socket", "AF_XDP") }
        var rings: [XDPRing] = []
        do throws(SystemError) {
            let entries = UInt32(frameCount)
            let wanted = spillway_xdp_rings(fill: 64, completion: entries, receive: 0, transmit: entries)
            let status = unsafe spillway_xdp_set_up(
                socket, region.base, UInt64(frameCount * frameBytes), UInt32(frameBytes), wanted)
            if status != 0 { throw SystemError("setsockopt", "XDP_UMEM_REG", code: status) }
            rings.append(try XDPRing(socket: socket, .transmit, count: frameCount))
            rings.append(try XDPRing(socket: socket, .completion, count: frameCount))
            try bind(socket, interface, zeroCopy: zeroCopy)
            return Opened(socket: socket, transmit: rings[0], completion: rings[1])
        } catch {
            for ring in rings { ring.unmap() }
            close(socket)
            throw error
        }
    }

    private static func bind(_ socket: Int32, _ interface: Int32, zeroCopy: Bool) throws(SystemError) {
        var status: Int32 = 0
        // A queue is busy for up to a second after its last socket was closed.
        for turn in 0..<75 {
            if turn > 0 { Clock.sleep(nanoseconds: 20_000_000) }
            status = spillway_xdp_bind(socket, interface, 0, zeroCopy, false)
            if status != EBUSY { break }
        }
        if status != 0 { throw SystemError("bind", "queue 0", code: status) }
    }

    deinit {
        transmit?.unmap()
        completion?.unmap()
        close(socket)
        unsafe free.deallocate()
        unsafe waiting.deallocate()
        unsafe lengths.deallocate()
    }

    /// Whether there is room for a frame now.
    @_noLocks mutating func hasRoom() -> Bool {
        if mode.isRing {
            if freeCount == 0 { reap() }
            return freeCount > 0
        }
        return waitingCount < Self.burst
    }

    /// Takes a copy of a frame of at most `frameBytes`; there is room. Whether a burst is full and `flush` is due.
    @_noLocks mutating func put(_ bytes: UnsafeRawPointer, count: Int) -> Bool {
        guard let transmit else {
            let address = UInt64(waitingCount) &* UInt64(Self.frameBytes)
            unsafe spillway_copy(frames + Int(address), bytes, count)
            unsafe waiting[Int(waitingCount)] = address
            unsafe lengths[Int(waitingCount)] = UInt32(truncatingIfNeeded: count)
            waitingCount &+= 1
            return waitingCount == Self.burst
        }
        freeCount &-= 1
        let address = unsafe free[freeCount]
        unsafe spillway_copy(frames + Int(address), bytes, count)
        let entry = unsafe transmit.entries + Int(produced & transmit.mask) &* 16
        unsafe entry.storeBytes(of: address, as: UInt64.self)
        unsafe entry.storeBytes(of: UInt64(count), toByteOffset: 8, as: UInt64.self)
        produced &+= 1
        return produced &- published >= Self.burst
    }

    /// Shows the kernel what was put, and has it sent. False if some of it has to wait: call again in a moment.
    @_noLocks mutating func flush() -> Bool {
        guard let transmit else { return flushPackets() }
        if published != produced {
            taken &+= UInt64(produced &- published)
            published = produced
            unsafe transmit.producer.pointee.store(produced, ordering: .releasing)
        }
        while unsafe transmit.consumer.pointee.load(ordering: .acquiring) != produced {
            // XDP_RING_NEED_WAKEUP; in copy mode the call is what sends, and it is always set.
            guard unsafe transmit.flags.pointee.load(ordering: .relaxed) & 1 != 0 else { return false }
            let status = spillway_transmit_kick(socket)
            if status == -EBUSY { dropped &+= 1 }
            if status == 0 || status == -EBUSY || status == -EINTR { continue }
            // Buffers of the socket are full, or the driver's queue is: frames that have left make room.
            if status != -EAGAIN && status != -ENOBUFS { failure = -status }
            reap()
            return false
        }
        return true
    }

    /// Whether everything that was put has left, as far as the kernel tells.
    @_noLocks mutating func isDrained() -> Bool {
        guard mode.isRing else { return waitingCount == 0 }
        reap()
        return freeCount == Self.frameCount
    }

    @_noLocks private mutating func flushPackets() -> Bool {
        var done: UInt32 = 0
        while done < waitingCount {
            let count = unsafe spillway_transmit_packets(
                socket, frames, waiting + Int(done), lengths + Int(done), waitingCount &- done)
            if count > 0 {
                done &+= UInt32(truncatingIfNeeded: count)
                taken &+= UInt64(count)
                continue
            }
            if count == -Int32(EINTR) { continue }
            if count != -EAGAIN && count != -ENOBUFS { failure = -count }
            break
        }
        // What is left moves to the front; its bytes stay where they are only as long as nothing is put.
        if done > 0, done < waitingCount { moveUp(by: done) }
        waitingCount &-= done
        return waitingCount == 0
    }

    @_noLocks private mutating func moveUp(by done: UInt32) {
        for place in 0..<Int(waitingCount &- done) {
            let from = place &+ Int(done)
            let length = unsafe lengths[from]
            unsafe spillway_copy(frames + place &* Self.frameBytes, frames + from &* Self.frameBytes, Int(length))
            unsafe lengths[place] = length
            unsafe waiting[place] = UInt64(place &* Self.frameBytes)
        }
    }

    /// Takes frames back that have left.
    @_noLocks private mutating func reap() {
        guard let completion else { return }
        let known = unsafe completion.producer.pointee.load(ordering: .acquiring)
        while completed != known {
            let entry = unsafe completion.entries + Int(completed & completion.mask) &* 8
            let address = unsafe entry.load(as: UInt64.self)
            precondition(
                address < UInt64(Self.frameCount &* Self.frameBytes) && freeCount < Self.frameCount,
                "the kernel gives frames of our memory")
            unsafe free[freeCount] = address & ~UInt64(Self.frameBytes &- 1)
            freeCount &+= 1
            completed &+= 1
        }
        unsafe completion.consumer.pointee.store(completed, ordering: .releasing)
    }
}

extension TransmitMode {
    /// Whether there are rings.
    var isRing: Bool {
        @_noLocks get { if case .packetSocket = self { false } else { true } }
    }
}
