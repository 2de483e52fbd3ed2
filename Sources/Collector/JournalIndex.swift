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
        var sections = SectionMaps()
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

/// Puts the interface lists of several runs together into one.
private struct SectionMaps {
    var interfaces: [[UInt8]] = []
    private var numbers: [[UInt8]: UInt32] = [:]
    private var maps: [[UInt32]] = []
    private var places: [RunIdentity: UInt32] = [:]
    private var seen: [RunIdentity: UInt64] = [:]
    var statistics: [RunIdentity: [UInt32: [UInt8]]] = [:]

    /// The number of a run's map, extended to what its section says now.
    mutating func map(for description: RunDescription) -> UInt32 {
        note(description)
        return places[description.run]!
    }

    mutating func note(_ description: RunDescription) {
        let place = places[description.run] ?? UInt32(maps.count)
        if place == maps.count {
            places[description.run] = place
            maps.append([])
        }
        let known = maps[Int(place)].count
        // A section of the same run that begins anew may say less than one before; ids mean the same in both.
        for block in description.interfaces.dropFirst(known) {
            let number = numbers[block] ?? UInt32(interfaces.count)
            if number == interfaces.count {
                numbers[block] = number
                interfaces.append(block)
            }
            maps[Int(place)].append(number)
        }
        guard seen[description.run] != description.statisticsCount else { return }
        seen[description.run] = description.statisticsCount
        for (interface, entry) in description.statistics where Int(interface) < maps[Int(place)].count {
            statistics[description.run, default: [:]][maps[Int(place)][Int(interface)]] = entry.block
        }
    }

    /// Maps that change nothing are empty.
    var simplified: [[UInt32]] {
        maps.map { map in map.enumerated().allSatisfy { $0.offset == Int($0.element) } ? [] : map }
    }
}
