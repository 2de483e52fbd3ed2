internal import Machine
internal import Pcapng
internal import SpillCache

/// Where the batches of a journal's file are, and what their records refer to: what a merge needs to know.
struct JournalIndex {
    /// A batch in the file.
    struct Placed {
        var offset: UInt64
        var recordBytes: UInt32
        /// Which of `maps` its interface ids go through.
        var map: UInt32
        var leastTime: UInt64
        /// What decides between records of the same time, whatever order batches came in: arrival, then identity.
        var arrival: UInt64
        var number: UInt64
        var worker: UInt16, lane: UInt16
        var isSorted: Bool

        static func precedes(_ left: Placed, _ right: Placed) -> Bool {
            if left.leastTime != right.leastTime { return left.leastTime < right.leastTime }
            if left.arrival != right.arrival { return left.arrival < right.arrival }
            if left.worker != right.worker { return left.worker < right.worker }
            if left.lane != right.lane { return left.lane < right.lane }
            return left.number != right.number ? left.number < right.number : left.offset < right.offset
        }
    }

    /// From a section's interface ids to those of the file; empty where they are the same.
    private(set) var maps: [[UInt32]] = []
    /// The batches in the order of their least times.
    private(set) var batches: [Placed] = []
    /// The interfaces of all sections, each once.
    private(set) var interfaces: [[UInt8]] = []
    /// The latest statistics by run and interface of the file.
    private(set) var statistics: [RunIdentity: [UInt32: [UInt8]]] = [:]
    /// What the scan found.
    private(set) var report: CacheScanReport

    /// Reads a journal's file.
    ///
    /// - Parameter extent: how much of it counts.
    init(_ name: String, extent: UInt64, in directory: DirectoryHandle) throws(SystemError) {
        var sections = InterfaceUnion()
        var batches: [Placed] = []
        report = try CacheScan.run(name, in: directory, limit: extent) { batch, description in
            let trailer = batch.check.trailer
            batches.append(
                Placed(
                    offset: batch.offset, recordBytes: trailer.recordBytes, map: sections.map(for: description),
                    leastTime: trailer.leastTime, arrival: trailer.firstArrival, number: trailer.number,
                    worker: trailer.worker, lane: trailer.lane, isSorted: batch.check.isSorted))
        }
        if let last = report.section { sections.note(last) }
        batches.sort(by: Placed.precedes)
        self.batches = batches
        (maps, interfaces, statistics) = (sections.simplified, sections.interfaces, sections.statistics)
    }
}
