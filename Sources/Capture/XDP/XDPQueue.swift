public import CMachine
internal import CXDP
import Glibc
public import Machine
public import Synchronization

/// One receive queue of an interface through an AF_XDP socket, with its memory and rings. One thread uses it.
///
/// A burst: `next` until it gives nil or the burst is large enough, then `release`, which gives the frames back. The
/// bytes of a packet stay where they are until then; those of a packet in several buffers until the next call of `next`.
@safe public struct XDPQueue: ~Copyable, @unchecked Sendable {
    // Safe because rings, memory and socket belong to this value from `init` to `deinit`, and every address the kernel
    // gives is checked against the memory.

    /// The number of the receive queue.
    public let queue: UInt32
    /// The socket, for poll(2). It stays this value's own.
    public let descriptor: Int32
    /// Whether the card writes into our memory.
    public let isZeroCopy: Bool
    /// Whether packets may come in several buffers.
    public let takesFragments: Bool
    /// Bytes of a packet that one buffer holds.
    public let frameRoom: Int
    /// Frames there are in all.
    public let frameCount: Int
    /// The pages of the packet memory.
    public let pages: PageKind
    @usableFromInline var reads: UInt64 = 0
    /// Packets `next` has given out.
    public var readCount: UInt64 { reads }

    /// What the kernel leaves free in each frame for the program (XDP_PACKET_HEADROOM).
    static let headroom = 256
    /// Room to put a packet of several buffers together: more than the kernel's most, which is 18 frames.
    static let gatherBytes = 128 << 10

    @usableFromInline let frames: UnsafeMutableRawPointer
    @usableFromInline let frameBytes: Int
    @usableFromInline let memoryBytes: Int
    @usableFromInline let receive: XDPRing
    @usableFromInline let fill: XDPRing
    private let gather: UnsafeMutableRawPointer
    @usableFromInline let taiOffset: UInt64
    @usableFromInline var receivePosition: UInt32 = 0
    @usableFromInline var receiveKnown: UInt32 = 0
    @usableFromInline var fillPosition: UInt32
    /// Of a packet whose buffers have not all come: its time, its bytes so far, and its length so far.
    private var partTime: UInt64 = 0
    private var partBytes = 0
    private var partLength = 0
    @usableFromInline var isInPart = false

    /// The memory one queue takes, for the budget.
    public static func byteCount(_ sizes: XDPSizes) -> Int {
        // Rings: an address and a descriptor per frame, the smallest frame being 2 KiB.
        sizes.memoryBytes + sizes.memoryBytes / 2048 * 24 + gatherBytes
    }

    /// Opens the socket, registers memory, fills the fill ring and binds.
    ///
    /// - Parameters:
    ///   - attempts: what to ask the kernel for, in this order: zero-copy or not, packets in several buffers or not.
    /// - Throws: the system call that failed, of the last attempt.
    init(
        interface: UInt32, queue: UInt32, frameBytes: Int, sizes: XDPSizes, pages: PageKind, node: Int?,
        attempts: [(zeroCopy: Bool, fragments: Bool)]
    ) throws(SystemError) {
        let region = try MemoryRegion(byteCount: sizes.memoryBytes, pages: pages, node: node)
        let gather = try MemoryRegion(byteCount: Self.gatherBytes, pages: .off, node: node)
        let opened = try XDPSocket.open(
            interface, queue, memory: region, frameBytes: frameBytes, sizes: sizes, attempts: attempts)
        (self.queue, descriptor, self.frameBytes, memoryBytes) = (queue, opened.socket, frameBytes, sizes.memoryBytes)
        (fill, receive, fillPosition) = (opened.fill, opened.receive, opened.filled)
        (isZeroCopy, takesFragments) = (opened.isZeroCopy, opened.takesFragments)
        unsafe (frames, self.gather) = (region.base, gather.base)
        self.pages = region.pages
        frameRoom = frameBytes - Self.headroom
        frameCount = sizes.memoryBytes / frameBytes
        taiOffset = UInt64(bitPattern: spillway_xdp_tai_offset())
    }

    deinit {
        receive.unmap()
        fill.unmap()
        close(descriptor)
    }

    /// The next packet, or nil if there is none now. It never waits.
    @_noLocks @inlinable @inline(__always)
    public mutating func next() -> LivePacket? {
        while true {
            if receivePosition == receiveKnown {
                receiveKnown = unsafe receive.producer.pointee.load(ordering: .acquiring)
                if receivePosition == receiveKnown { return nil }
            }
            fetchAhead()
            let entry = unsafe receive.entries + Int(receivePosition & receive.mask) &* 16
            let address = Int(truncatingIfNeeded: unsafe entry.load(as: UInt64.self))
            let length = Int(truncatingIfNeeded: unsafe entry.load(fromByteOffset: 8, as: UInt32.self))
            let goesOn = unsafe entry.load(fromByteOffset: 12, as: UInt32.self) & 1 != 0
            receivePosition &+= 1
            precondition(
                address >= 8 && length <= frameBytes && address <= memoryBytes - length,
                "the kernel gives frames of our memory")
            // The frame's place in the fill ring is written now and shown to the kernel at `release`.
            let slot = unsafe fill.entries + Int(fillPosition & fill.mask) &* 8
            unsafe slot.storeBytes(of: UInt64(truncatingIfNeeded: address & ~(frameBytes &- 1)), as: UInt64.self)
            fillPosition &+= 1
            let bytes = unsafe frames + address
            if !isInPart && !goesOn {
                reads &+= 1
                let size = UInt32(truncatingIfNeeded: length)
                return unsafe LivePacket(time: takeTime(bytes), captured: size, original: size, bytes: bytes)
            }
            if let packet = unsafe takePart(bytes, length, goesOn: goesOn) { return packet }
        }
    }

    /// Has the cache fetch the stamp and the first bytes of a frame that will be read soon: another core wrote them.
    @_noLocks @inlinable @inline(__always)
    func fetchAhead() {
        let place = receivePosition &+ Self.fetchDistance
        guard receiveKnown &- place &- 1 <= receive.mask else { return }
        let entry = unsafe receive.entries + Int(place & receive.mask) &* 16
        let address = Int(truncatingIfNeeded: unsafe entry.load(as: UInt64.self))
        let bytes = unsafe UnsafeRawPointer(frames + address)
        unsafe spillway_prefetch_to_write(bytes - 8)
        unsafe spillway_prefetch(bytes)
        unsafe spillway_prefetch(bytes + 64)
    }

    @usableFromInline static var fetchDistance: UInt32 { @_noLocks @inlinable get { 8 } }

    /// Adds a buffer to the packet that is being put together; gives it once it is whole.
    @_noLocks @usableFromInline
    mutating func takePart(_ bytes: UnsafeMutableRawPointer, _ length: Int, goesOn: Bool) -> LivePacket? {
        if !isInPart {
            // Only the first buffer has a stamp before it.
            partTime = unsafe takeTime(bytes)
            (partBytes, partLength, isInPart) = (0, 0, true)
        }
        let room = min(length, Self.gatherRoom &- partBytes)
        unsafe spillway_copy(gather + partBytes, bytes, room)
        partBytes &+= room
        partLength &+= length
        if goesOn { return nil }
        isInPart = false
        reads &+= 1
        return unsafe LivePacket(
            time: partTime, captured: UInt32(truncatingIfNeeded: partBytes),
            original: UInt32(truncatingIfNeeded: partLength), bytes: UnsafeRawPointer(gather))
    }

    private static var gatherRoom: Int { @_noLocks get { 128 << 10 } }

    /// Gives the frames of this burst back to the kernel.
    @_noLocks
    public mutating func release() {
        unsafe receive.consumer.pointee.store(receivePosition, ordering: .releasing)
        unsafe fill.producer.pointee.store(fillPosition, ordering: .releasing)
        // XDP_RING_NEED_WAKEUP: the driver went to sleep for want of frames.
        if unsafe fill.flags.pointee.load(ordering: .relaxed) & 1 != 0 { spillway_xdp_wake(descriptor) }
    }

    /// The program's stamp before the packet as UTC, or the present time where there is none. The stamp is taken away, so
    /// that a frame used again without one does not show an old one.
    @_noLocks @inlinable @inline(__always)
    func takeTime(_ bytes: UnsafeMutableRawPointer) -> UInt64 {
        let stamp = unsafe (bytes - 8).loadUnaligned(as: UInt64.self)
        unsafe (bytes - 8).storeBytes(of: 0, as: UInt64.self)
        return stamp == 0 ? Clock.realtime() : stamp &- taiOffset
    }
}
