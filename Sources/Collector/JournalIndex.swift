internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// Where the batches of a journal's file are, and what their records refer to: what a merge needs to know.
///
/// It grows while the file is written, or is read from a file that another life has left.
struct JournalIndex: Sendable {
    /// A batch in the file.
    struct Placed: Sendable {
        var offset: UInt64
        var recordBytes: UInt32, packets: UInt32
        /// Which of `maps` its interface ids go through, and the greatest of them.
        var map: UInt32, interface: UInt32
        var leastTime: UInt64, greatestTime: UInt64
        /// What decides between records of the same time, whatever order batches came in: arrival, then identity.
        var arrival: UInt64
        var number: UInt64
        var worker: UInt16, lane: UInt16
        var isSorted: Bool

        /// Length with the trailer.
        var byteCount: Int { Int(recordBytes) + BatchTrailer.byteCount }

        /// Reads the whole batch.
        ///
        /// - Parameter checking: whether it must be shown that it is what was written there.
        /// - Throws: with the code `TimeMerge.unchecked` if it is not.
        func read(
            to room: UnsafeMutableRawPointer, _ file: borrowing OpenFile, checking: Bool
        ) throws(SystemError) {
            let done = try unsafe file.read(UnsafeMutableRawBufferPointer(start: room, count: byteCount), at: offset)
            let isWhole = done == byteCount
            guard isWhole || checking else { throw SystemError("read", file.path, code: EIO) }
            let isGood = unsafe !checking || isWhole && isWritten(at: room)
            guard isGood else { throw SystemError("read", file.path, code: TimeMerge.unchecked) }
        }

        private func isWritten(at room: UnsafeMutableRawPointer) -> Bool {
            guard unsafe BatchTrailer.isIntact(room, byteCount: byteCount) else { return false }
            let trailer = unsafe BatchTrailer(reading: room + Int(recordBytes))
            return trailer.number == number && trailer.worker == worker && trailer.lane == lane
        }

        static func precedes(_ left: Placed, _ right: Placed) -> Bool {
            if left.leastTime != right.leastTime { return left.leastTime < right.leastTime }
            if left.arrival != right.arrival { return left.arrival < right.arrival }
            if left.worker != right.worker { return left.worker < right.worker }
            if left.lane != right.lane { return left.lane < right.lane }
            return left.number != right.number ? left.number < right.number : left.offset < right.offset
        }
    }

    private var union = InterfaceUnion()
    /// The batches; in the order of their least times once `finish` was called.
    private(set) var batches: [Placed] = []
    /// From a section's interface ids to those of the file; empty where they are the same. Made by `finish`.
    private(set) var maps: [[UInt32]] = []
    /// Packets of all batches.
    private(set) var packets: UInt64 = 0
    /// The greatest packet time.
    private(set) var greatestTime: UInt64 = 0
    /// Damaged places that were passed over.
    private(set) var damagedPlaces = 0
    /// Whether every batch was read from the file and checked a moment ago. If not, who reads a batch checks it.
    let isChecked: Bool

    /// Of a file that is going to be written.
    init() { isChecked = false }

    /// Reads a journal's file.
    ///
    /// - Parameter extent: how much of it counts.
    init(_ name: String, extent: UInt64, in directory: DirectoryHandle) throws(SystemError) {
        isChecked = true
        var found = JournalIndex()
        let report = try CacheScan.run(name, in: directory, limit: extent) { batch, description in
            found.add(batch.check, at: batch.offset, of: description)
        }
        if let last = report.section { found.note(last) }
        found.finish()
        (union, batches, maps) = (found.union, found.batches, found.maps)
        (packets, greatestTime, damagedPlaces) = (found.packets, found.greatestTime, report.damagedPlaces)
    }

    /// The interfaces of all sections, each once.
    var interfaces: [[UInt8]] { union.interfaces }
    /// The latest statistics by run and interface of the file.
    var statistics: [RunIdentity: [UInt32: [UInt8]]] { union.statistics }

    /// Adds a batch.
    mutating func add(_ check: BatchCheck, at offset: UInt64, of description: RunDescription) {
        let trailer = check.trailer
        batches.append(
            Placed(
                offset: offset, recordBytes: trailer.recordBytes, packets: trailer.packets,
                map: union.map(for: description), interface: check.greatestInterface, leastTime: trailer.leastTime,
                greatestTime: trailer.greatestTime, arrival: trailer.firstArrival, number: trailer.number,
                worker: trailer.worker, lane: trailer.lane, isSorted: check.isSorted))
        packets += UInt64(trailer.packets)
        greatestTime = max(greatestTime, trailer.greatestTime)
    }

    /// Takes in what a section says in the end.
    mutating func note(_ description: RunDescription) { union.note(description) }

    /// Puts everything in order; nothing is added afterwards.
    mutating func finish() {
        batches.sort(by: Placed.precedes)
        maps = union.simplified
    }
}
