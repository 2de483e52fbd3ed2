internal import CMachine

/// What is known of a stored frame. It stands at the head of the frame's first block.
struct StoredFrame: BitwiseCopyable {
    /// The next frame of the same list.
    var next: UInt32 = FrameStore.none
    /// The last block, and how many there are.
    var lastBlock: UInt32 = FrameStore.none
    var blocks: UInt32 = 0
    var stamp: FrameStamp
    /// Where the fragment's data begins in the frame.
    var dataStart: UInt32
    /// Where it belongs in the datagram.
    var extent: Extent
    var moreFragments: Bool
    /// Says nothing that another frame has not said.
    var isDuplicate = false

    @_noLocks
    init(stamp: FrameStamp, dataStart: UInt32, extent: Extent, moreFragments: Bool) {
        (self.stamp, self.dataStart, self.extent) = (stamp, dataStart, extent)
        self.moreFragments = moreFragments
    }
}

/// Time, interface and lengths of a frame, as it was captured.
public struct FrameStamp: BitwiseCopyable, Sendable {
    /// Nanoseconds since 1970 UTC.
    public var time: UInt64
    /// Number of the interface in the run.
    public var interface: UInt32
    /// Captured bytes, and bytes on the wire.
    public var captured: UInt32, original: UInt32

    /// A frame's stamp.
    @_noLocks public init(time: UInt64, interface: UInt32, captured: UInt32, original: UInt32) {
        (self.time, self.interface, self.captured, self.original) = (time, interface, captured, original)
    }
}

/// Captured frames in blocks of fixed memory. A frame takes as many blocks as it needs, linked by number; the block freed
/// last is the next one used, so that what is busy stays in the cache.
@safe struct FrameStore: ~Copyable {
    // Safe because the memory is the creator's gift for good, and every block number comes from the free list.
    private let base: UnsafeMutableRawPointer
    private var firstFree: UInt32
    /// Blocks there are, and blocks that are free.
    let count: Int
    private(set) var free: Int
    /// Frames in them.
    private(set) var frames = 0

    /// No block.
    static var none: UInt32 { @_noLocks @inline(__always) get { .max } }
    /// A block: its head (the number of the next block, then the frame's description) and bytes of the frame.
    static var blockBytes: Int { @_noLocks @inline(__always) get { headBytes + dataBytes } }
    private static var headBytes: Int { @_noLocks @inline(__always) get { 64 } }
    private static var dataBytes: Int { @_noLocks @inline(__always) get { 768 } }
    private static var frameOffset: Int { @_noLocks @inline(__always) get { 8 } }

    /// - Parameter memory: `count` blocks, aligned to 8 and used by nobody else from now on.
    init(memory: UnsafeMutableRawPointer, count: Int) {
        precondition(MemoryLayout<StoredFrame>.size + Self.frameOffset <= Self.headBytes)
        unsafe base = memory
        self.count = count
        free = count
        firstFree = count > 0 ? 0 : Self.none
        for block in 0..<count {
            let next = block + 1 < count ? UInt32(block + 1) : Self.none
            unsafe (memory + block * Self.blockBytes).storeBytes(of: next, as: UInt32.self)
        }
    }

    /// Blocks that a frame takes.
    @_noLocks @inline(__always)
    static func blocks(for captured: UInt32) -> Int {
        max(1, (Int(captured) + dataBytes - 1) / dataBytes)
    }

    /// Bytes in use.
    var bytesInUse: Int { @_noLocks get { (count - free) * Self.blockBytes } }

    @_noLocks @inline(__always)
    private func block(_ number: UInt32) -> UnsafeMutableRawPointer {
        assert(number < count)
        return unsafe base + Int(number) &* Self.blockBytes
    }

    @_noLocks @inline(__always)
    private func next(_ number: UInt32) -> UInt32 { unsafe block(number).load(as: UInt32.self) }

    /// The description of a stored frame.
    subscript(frame: UInt32) -> StoredFrame {
        @_noLocks @inline(__always)
        get { unsafe block(frame).load(fromByteOffset: Self.frameOffset, as: StoredFrame.self) }
        @_noLocks @inline(__always)
        nonmutating set {
            unsafe block(frame).storeBytes(of: newValue, toByteOffset: Self.frameOffset, as: StoredFrame.self)
        }
    }

    /// Copies a frame into free blocks, of which there must be enough. Returns its number.
    @_noLocks
    mutating func store(_ description: StoredFrame, _ bytes: UnsafeRawPointer) -> UInt32 {
        let first = firstFree
        var last = first
        var rest = Int(description.stamp.captured)
        var source = unsafe bytes
        var blocks: UInt32 = 1
        while true {
            let part = min(rest, Self.dataBytes)
            unsafe spillway_copy(block(last) + Self.headBytes, source, part)
            rest -= part
            if rest == 0 { break }
            unsafe source += part
            last = next(last)
            blocks &+= 1
        }
        firstFree = next(last)
        free -= Int(blocks)
        frames += 1
        unsafe block(last).storeBytes(of: Self.none, as: UInt32.self)
        var frame = description
        (frame.lastBlock, frame.blocks) = (last, blocks)
        self[first] = frame
        return first
    }

    /// Frees a frame's blocks.
    @_noLocks
    mutating func release(_ frame: UInt32) {
        let stored = self[frame]
        unsafe block(stored.lastBlock).storeBytes(of: firstFree, as: UInt32.self)
        firstFree = frame
        free += Int(stored.blocks)
        frames -= 1
    }

    /// Copies a part of a frame out; it must lie inside the frame.
    @_noLocks
    func copy(_ frame: UInt32, from offset: Int, count: Int, to target: UnsafeMutableRawPointer) {
        var number = frame
        var skip = offset
        while skip >= Self.dataBytes {
            number = next(number)
            skip -= Self.dataBytes
        }
        var rest = count
        var target = unsafe target
        while rest > 0 {
            let part = min(rest, Self.dataBytes - skip)
            unsafe spillway_copy(target, block(number) + Self.headBytes + skip, part)
            rest -= part
            unsafe target += part
            number = next(number)
            skip = 0
        }
    }

    /// Whether a part of a frame is byte for byte what stands at `bytes`.
    @_noLocks
    func matches(_ frame: UInt32, from offset: Int, count: Int, _ bytes: UnsafeRawPointer) -> Bool {
        var number = frame
        var skip = offset
        while skip >= Self.dataBytes {
            number = next(number)
            skip -= Self.dataBytes
        }
        var done = 0
        while done < count {
            let part = min(count - done, Self.dataBytes - skip)
            if unsafe spillway_compare(block(number) + Self.headBytes + skip, bytes + done, part) != 0 { return false }
            done += part
            number = next(number)
            skip = 0
        }
        return true
    }
}
