/// What a run has done.
public struct GeneratorReport: Sendable, Equatable {
    /// Packets made: their numbers are those below it.
    public internal(set) var packets: UInt64 = 0
    /// Frames made; as many as packets, unless these were fragmented.
    public internal(set) var frames: UInt64 = 0
    /// Bytes of these frames.
    public internal(set) var bytes: UInt64 = 0
    /// Frames the driver took.
    public internal(set) var sent: UInt64 = 0
    /// Frames the driver refused, because its ring was full for example.
    public internal(set) var dropped: UInt64 = 0
    /// Frames the kernel refused before they reached the driver.
    public internal(set) var refused: UInt64 = 0
    /// How long it took, from the first frame to the time at which the next one would have been due.
    public internal(set) var seconds = 0.0
    /// Why it ended early.
    public internal(set) var problem: GeneratorError?

    /// Nothing done yet.
    public init() {}

    /// Frames the driver took in a second.
    public var packetRate: Double { seconds > 0 ? Double(sent) / seconds : 0 }
    /// Bits of frames made in a second.
    public var bitRate: Double { seconds > 0 ? Double(bytes) * 8 / seconds : 0 }
}
