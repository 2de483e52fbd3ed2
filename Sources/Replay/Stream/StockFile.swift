internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// A file of a cache, every byte of it checked, and its good batches. Open as long as anything refers to it.
final class StockFile {
    /// A batch of the file.
    struct Batch {
        var offset: UInt64
        var byteCount: UInt64
        var packets: UInt32
        var arrival: UInt64
        var lane: BatchLane
        var number: UInt64

        /// The order of docs/format.md, "Order": what goes later of two.
        static func < (left: Batch, right: Batch) -> Bool {
            if left.arrival != right.arrival { return left.arrival < right.arrival }
            return left.lane != right.lane ? left.lane < right.lane : left.number < right.number
        }
    }

    private let file: OpenFile
    /// The batches that have not been chosen, the newest one last.
    private(set) var batches: [Batch] = []
    /// All that the file says of each run.
    private(set) var descriptions: [RunIdentity: RunDescription] = [:]
    /// What was found out about it, with the places that do not check.
    let found: SurveyedFile

    /// The descriptor to send from.
    var descriptor: Int32 { file.descriptor }

    /// Checks a file as far as the survey saw it; it may have been sealed since.
    ///
    /// - Parameter isLive: somebody may be writing it.
    init(_ entry: SurveyedFile, in directory: DirectoryHandle, isLive: Bool) throws(SystemError) {
        let name = entry.isOpen && !directory.contains(entry.name) ? entry.cacheName.sealed : entry.name
        file = try OpenFile(name, in: directory, flags: O_RDONLY)
        var batches: [Batch] = []
        var runs: [RunIdentity: RunDescription] = [:]
        let report = try CacheScan.run(name, in: directory, limit: entry.size) { batch, section in
            let trailer = batch.check.trailer
            unsafe batches.append(
                Batch(
                    offset: batch.offset, byteCount: UInt64(batch.bytes.count), packets: trailer.packets,
                    arrival: trailer.lastArrival, lane: BatchLane(of: trailer), number: trailer.number))
            let known = runs[section.run]
            if known == nil
                || known!.interfaces.count + known!.lanes.count < section.interfaces.count + section.lanes.count
            {
                runs[section.run] = section
            }
        }
        batches.sort(by: <)
        (self.batches, descriptions) = (batches, runs)
        var found = entry
        found.take(report, isLive: isLive)
        self.found = found
    }

    /// Takes the newest batch out.
    func takeLast() -> Batch { batches.removeLast() }
}
