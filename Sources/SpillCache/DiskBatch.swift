/// Names a batch on disk: its file's place in the catalogue, and which of the file's batches it is.
public struct DiskPlace: BitwiseCopyable, Sendable {
    /// Place of the file in the catalogue.
    public var file: UInt32
    /// 0 for the first batch of the file.
    public var ordinal: UInt32

    /// The batch with this ordinal in the file at this place.
    @_noLocks public init(file: UInt32, ordinal: UInt32) {
        self.file = file
        self.ordinal = ordinal
    }

    /// Nowhere on disk.
    public static var none: DiskPlace { @_noLocks get { DiskPlace(file: .max, ordinal: 0) } }

    /// Whether it names a batch at all.
    public var isSomewhere: Bool { @_noLocks get { file != .max } }
}

/// What must be known of a batch on disk to send it and to settle it.
public struct DiskBatch: BitwiseCopyable, Sendable {
    /// Where it begins in its file.
    public var offset: UInt64
    /// Its last arrival, nanoseconds since 1970 UTC.
    public var arrival: UInt64
    /// Its number within its run, worker and lane.
    public var number: UInt64
    /// Length with the trailer.
    public var bytes: UInt32
    /// Records in it.
    public var packets: UInt32
    /// The worker that made it, and the lane it was made for.
    public var worker: UInt16, lane: UInt16

    /// A batch from its parts.
    @_noLocks public init(
        offset: UInt64, arrival: UInt64, number: UInt64, bytes: UInt32, packets: UInt32, worker: UInt16, lane: UInt16
    ) {
        self.offset = offset
        self.arrival = arrival
        self.number = number
        self.bytes = bytes
        self.packets = packets
        self.worker = worker
        self.lane = lane
    }

    /// Right behind its last byte.
    public var end: UInt64 { @_noLocks get { offset + UInt64(bytes) } }

    /// Whether it comes after another one of its file, in the order of docs/format.md.
    @_noLocks func isLater(than other: DiskBatch) -> Bool {
        arrival != other.arrival ? arrival > other.arrival : number > other.number
    }
}
