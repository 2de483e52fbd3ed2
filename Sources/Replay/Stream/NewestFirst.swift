internal import Machine
internal import Pcapng
internal import SpillCache

/// Goes through the batches of a cache, newest first over all files. Files are opened when their turn comes and closed behind
/// it, so that memory goes by how many overlap.
struct NewestFirst {
    private let stock: CacheStock
    private var opened = 0
    private var open: [StockFile] = []
    /// Places that do not check.
    private(set) var damagedPlaces = 0
    /// These places, and files that could not be read, a line each.
    private(set) var problems: [String] = []

    init(_ stock: CacheStock) { self.stock = stock }

    /// The next batch and its file; nil behind the last one.
    mutating func next() -> (batch: StockFile.Batch, file: StockFile)? {
        while true {
            var best: Int?
            for (place, file) in open.enumerated() {
                if best == nil || open[best!].batches.last! < file.batches.last! { best = place }
            }
            // A file that is not open yet may have a newer one.
            if opened < stock.files.count {
                let latest = stock.files[opened].times.lastArrival
                if best == nil || open[best!].batches.last!.arrival <= latest {
                    openNext()
                    continue
                }
            }
            guard let best else { return nil }
            let file = open[best]
            let batch = file.takeLast()
            if file.batches.isEmpty { open.remove(at: best) }
            return (batch, file)
        }
    }

    private mutating func openNext() {
        let entry = stock.files[opened]
        opened += 1
        do throws(SystemError) {
            let file = try StockFile(entry, in: stock.directory, isLive: stock.isLive)
            damagedPlaces += file.found.damagedPlaces
            problems += file.found.faults
            if !file.batches.isEmpty { open.append(file) }
        } catch {
            problems.append("\(error)")
        }
    }
}
