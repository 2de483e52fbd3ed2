public import Machine
public import Tokens
internal import Transfer

/// What a collector is told.
public struct CollectorOptions: Sendable {
    /// Where it listens, one or more.
    public var listen: [Endpoint] = []
    /// The directory of the finished files; the state is in `.spillway` in it.
    public var directory = "."
    /// Bytes of a journal's file from which on it is made into a file.
    public var rotateSize: UInt64 = 256 << 20
    /// Nanoseconds: the span of packet times of one file, and how long nothing may have come for it.
    public var rotateTime: UInt64 = 60_000_000_000
    /// Whether batches are acknowledged only after a sync to disk.
    public var isDurable = false
    /// The secret that sensors must have; nil if none is asked for.
    public var token: Token?
    /// Who may connect; everybody if empty.
    public var allow: [Subnet] = []
    /// Where metrics are served.
    public var metrics: Endpoint?
    /// Nanoseconds of silence after which it says that it is alive, and after which a peer is taken for dead.
    public var aliveTime = TransferLimit.aliveTime, silenceTime = TransferLimit.silenceTime
    /// What files say about who wrote them.
    public var application = "spillway collect"

    /// All defaults.
    public init() {}
}

/// How a collector talks to people.
public struct CollectorConsole: Sendable {
    /// One line that stays.
    public var log: @Sendable (String) -> Void
    /// A status line that is overwritten; nil where there is no terminal.
    public var progress: (@Sendable (String) -> Void)?

    /// A console.
    public init(log: @escaping @Sendable (String) -> Void, progress: (@Sendable (String) -> Void)?) {
        self.log = log
        self.progress = progress
    }
}

/// Limits of a collector beside those of the protocol (`TransferLimit`).
enum CollectorLimit {
    /// Journal files that are open at once: per series, and in all.
    static let bucketsPerSeries = 64, buckets = 512
    /// Connections in all, and sensors.
    static let connections = 1024, sensors = 4096
    /// Bytes that all connections together may have waiting as beginnings of batches.
    static let waitingBytes = 256 << 20
    /// Bytes that may wait to be sent to a peer that does not read; it is not read from until it has taken them.
    static let outputBytes = 2 << 20
    /// Ranges of one sensor's identities in memory.
    static let ranges = 1 << 20
    /// Bytes of batches that a merge holds in memory at once.
    static let mergeBytes = 64 << 20
    /// Bytes that are written into the journal at once, but for the last batch of them: little, where there is little room.
    static let writeBytes = 256 << 10
    /// Batches whose places in the journal are known without reading it; 72 bytes each.
    static let indexedBatches = 1 << 20
    /// Nanoseconds after which a run that nobody presented is forgotten.
    static let runLifetime: UInt64 = 7 * 86_400_000_000_000
    /// Bytes of a state file.
    static let stateBytes = 256 << 20
}
