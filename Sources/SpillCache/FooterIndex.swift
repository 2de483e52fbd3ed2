public import Pcapng

/// What the footer says of the batches that begin in one step of 64 KiB of the file.
public struct IndexEntry: Equatable, Sendable {
    /// Length of a step.
    public static let step: UInt64 = 64 << 10
    static let byteCount = 56

    /// Where the first of the batches begins.
    public var offset: UInt64
    /// Batches in the file before it.
    public var batchesBefore: UInt32
    /// Packets of the batches of this step.
    public var packets: UInt32 = 0
    /// Packets in the file before it.
    public var packetsBefore: UInt64
    /// Packet times and arrivals of the batches of this step.
    public var times = BatchTimes()

    func append(to out: inout BlockBuilder) {
        out.append(offset)
        out.append(batchesBefore)
        out.append(packets)
        out.append(packetsBefore)
        times.append(to: &out)
    }

    init(offset: UInt64, batchesBefore: UInt32, packetsBefore: UInt64) {
        self.offset = offset
        self.batchesBefore = batchesBefore
        self.packetsBefore = packetsBefore
    }

    init(_ source: inout ByteSource) throws(FormatFault) {
        offset = try source.number()
        batchesBefore = try source.number()
        packets = try source.number()
        packetsBefore = try source.number()
        times = try BatchTimes(&source)
    }
}

/// Packet times and arrivals of some batches, nanoseconds since 1970 UTC.
public struct BatchTimes: Equatable, Sendable {
    /// The range of packet times, 0 if there are no batches.
    public private(set) var leastTime: UInt64 = 0, greatestTime: UInt64 = 0
    /// The range of arrivals, 0 if there are no batches.
    public private(set) var firstArrival: UInt64 = 0, lastArrival: UInt64 = 0
    private var isEmpty = true

    /// Of no batches.
    public init() {}

    /// Adds a batch.
    public mutating func add(_ trailer: BatchTrailer) {
        leastTime = isEmpty ? trailer.leastTime : min(leastTime, trailer.leastTime)
        greatestTime = max(greatestTime, trailer.greatestTime)
        firstArrival = isEmpty ? trailer.firstArrival : min(firstArrival, trailer.firstArrival)
        lastArrival = max(lastArrival, trailer.lastArrival)
        isEmpty = false
    }

    /// Adds the times of some other batches, at least one.
    public mutating func add(_ other: BatchTimes) {
        leastTime = isEmpty ? other.leastTime : min(leastTime, other.leastTime)
        greatestTime = max(greatestTime, other.greatestTime)
        firstArrival = isEmpty ? other.firstArrival : min(firstArrival, other.firstArrival)
        lastArrival = max(lastArrival, other.lastArrival)
        isEmpty = false
    }

    func append(to out: inout BlockBuilder) {
        for value in [leastTime, greatestTime, firstArrival, lastArrival] { out.append(value) }
    }

    init(_ source: inout ByteSource) throws(FormatFault) {
        leastTime = try source.number()
        greatestTime = try source.number()
        firstArrival = try source.number()
        lastArrival = try source.number()
        isEmpty = false
    }

    /// Whether both say the same.
    public static func == (left: BatchTimes, right: BatchTimes) -> Bool {
        (left.leastTime, left.greatestTime, left.firstArrival, left.lastArrival)
            == (right.leastTime, right.greatestTime, right.firstArrival, right.lastArrival)
    }
}

/// What is in a file, counted while it is written or read; the footer is made from it.
public struct CacheContents: Sendable {
    /// Batches, packets, and bytes of records.
    public private(set) var batches: UInt64 = 0, packets: UInt64 = 0, recordBytes: UInt64 = 0
    /// Times of all batches.
    public private(set) var times = BatchTimes()
    /// One entry for each step in which a batch begins.
    public private(set) var index: [IndexEntry] = []
    /// Which batches there are.
    public private(set) var identities = BatchSet()
    /// Sections begun.
    public internal(set) var sections: UInt32 = 0

    /// Of an empty file.
    public init() {}

    /// Adds the batch that begins at `offset`; batches come in the order of the file.
    public mutating func add(_ trailer: BatchTrailer, at offset: UInt64) {
        if index.isEmpty || index[index.count - 1].offset / IndexEntry.step != offset / IndexEntry.step {
            index.append(
                IndexEntry(
                    offset: offset, batchesBefore: UInt32(truncatingIfNeeded: batches), packetsBefore: packets))
        }
        index[index.count - 1].packets += trailer.packets
        index[index.count - 1].times.add(trailer)
        times.add(trailer)
        batches += 1
        packets += UInt64(trailer.packets)
        recordBytes += UInt64(trailer.recordBytes)
        identities.insert(BatchLane(of: trailer), trailer.number)
    }
}
