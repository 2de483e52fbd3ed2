import Machine

/// What a capture thread hands to a worker: 16 bytes.
struct Descriptor: BitwiseCopyable {
    var time: UInt64
    var offset: UInt32
    var length: UInt32
}

/// Frames of 2048 bytes that are used round and round, as in a receive ring.
@safe struct ReceiveArea: ~Copyable {
    // Safe because the memory lives as long as the process and only this program's one thread uses it.
    let bytes: UnsafeMutableRawPointer
    let descriptors: UnsafeMutablePointer<Descriptor>
    let count: Int
    private(set) var next = 0

    init(frames: Int, size: Int) throws(SystemError) {
        let area = try MemoryRegion(byteCount: frames * 2048, pages: .auto)
        unsafe bytes = area.base
        unsafe descriptors = .allocate(capacity: frames)
        count = frames
        for index in 0..<frames {
            unsafe (bytes + index * 2048).initializeMemory(as: UInt8.self, repeating: UInt8(index & 255), count: size)
            unsafe descriptors[index] = Descriptor(
                time: 1_700_000_000_000_000_000 + UInt64(index) * 1000, offset: UInt32(index * 2048),
                length: UInt32(size))
        }
    }

    /// The next packet; after the last the first.
    @_noLocks @inline(__always)
    mutating func take() -> Descriptor {
        let descriptor = unsafe descriptors[next]
        next = next &+ 1 == count ? 0 : next &+ 1
        return descriptor
    }
}

/// Nanoseconds of wall and processor time, and what was written in them.
struct Measurement {
    var wall: UInt64
    var thread: UInt64
    var bytes: Int

    init(_ body: () -> Int) {
        let (wall, thread) = (Clock.monotonic(), Clock.threadCPU())
        bytes = body()
        self.wall = Clock.monotonic() - wall
        self.thread = Clock.threadCPU() - thread
    }
}
