internal import CSending
public import Machine

/// What transfers of one event loop share: the way bytes are sent, and memory for the ways that need some.
@safe public struct SendingTools: @unchecked Sendable {
    // Safe because the buffer lives as long as the process and only the loop's own thread uses it, within one call.

    /// How bytes get into sockets.
    public let method: SendMethod
    /// Brings files into memory off the loop; nil lets the loop wait for the disk itself.
    public let helpers: HelperClient?
    let buffer: UnsafeMutableRawPointer
    static var bufferByteCount: Int { @_noLocks get { 128 << 10 } }

    /// Tools for one loop.
    public init(method: SendMethod = .sendfile, helpers: HelperClient?) throws(SystemError) {
        self.method = method
        self.helpers = helpers
        unsafe buffer = try unsafe MemoryRegion(byteCount: Self.bufferByteCount, pages: .off).base
    }

    /// Prepares a descriptor for being sent from: helpers fetch exactly what is wanted, so that the kernel's own read-ahead
    /// for this descriptor is turned off, which would bring in more than a slow reader needs. For a few fast ones it is turned
    /// on again.
    @_noLocks public func adopt(_ descriptor: Int32) {
        if helpers != nil { spillway_no_read_ahead(descriptor) }
    }
}

/// How a range is made resident and sent.
public struct TransferLimits: BitwiseCopyable, Sendable {
    /// How many bytes are brought in at a time at first, and at most. It doubles only while the disk is what a transfer
    /// waits for, so that slow readers keep little in memory.
    public var firstWindow: UInt64, greatestWindow: UInt64
    /// How many bytes are looked for in memory at a time.
    public var probe: UInt64
    /// Nanoseconds after which what was found in memory is looked for again: it may have been taken away.
    public var trust: UInt64
    /// Whether what was brought in is let go of once it is sent.
    public var releases: Bool
    /// Whether the kernel may read ahead, beyond the window, for a reader that is faster than the disk.
    public var streams: Bool

    /// 128 KiB to 2 MiB, looked for by 2 MiB, trusted for a second, let go of, read ahead for the fastest.
    @_noLocks public init() {
        firstWindow = 128 << 10
        greatestWindow = 2 << 20
        probe = 2 << 20
        trust = 1_000_000_000
        releases = true
        streams = true
    }
}
