/// One packet found in a capture file. Its bytes are `window[dataOffset ..< dataOffset + captured]`.
public struct PacketHeader: BitwiseCopyable, Sendable, Equatable {
    /// The packet's own time stamp: nanoseconds since 1970-01-01 UTC, clamped to what 64 bits hold. 0 for a simple
    /// packet block, which has none.
    public var time: UInt64
    /// How many of the packet's bytes are delivered, at most `CaptureFileParser.capturedBytesMax`.
    public var captured: UInt32
    /// The packet's length on the wire as the file states it. Some files state less than `captured`.
    public var original: UInt32
    /// The interface: its index over the whole input, dense, in the order of the `interface` events.
    public var interface: UInt32
    /// Where the packet's bytes begin in the window that was given to `step`.
    public var dataOffset: Int

    /// Makes a header from its parts.
    @_noLocks @inlinable
    public init(time: UInt64, captured: UInt32, original: UInt32, interface: UInt32, dataOffset: Int) {
        self.time = time
        self.captured = captured
        self.original = original
        self.interface = interface
        self.dataOffset = dataOffset
    }
}
