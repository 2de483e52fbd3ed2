internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// A place in the records of one batch, which are handed out in the order of their times.
///
/// What it holds in memory is the whole batch, or a window of it where the merge has used up its budget.
@safe final class BatchCursor {
    // Safe because the window belongs to this object and every record in it was checked by the scan before.

    /// The batch.
    let batch: JournalIndex.Placed
    /// The place of the batch among all; decides between records of the same time.
    let rank: Int
    /// Time of the present record.
    private(set) var time: UInt64 = 0
    private var window: UnsafeMutableRawBufferPointer
    /// Where in the batch the window begins, and where in it the present record does.
    private var start = 0, place = 0
    private var filled = 0
    /// For a batch whose times go back: the records in order. 24 bytes each.
    private var order: [Entry] = []
    private var next = 0

    private struct Entry {
        var time: UInt64
        var offset: UInt64
        var count: UInt64
    }

    /// Bytes of memory it takes.
    var byteCount: Int { unsafe window.count + order.count * MemoryLayout<Entry>.stride }

    init(
        _ batch: JournalIndex.Placed, rank: Int, window size: Int, file: borrowing OpenFile, checking: Bool
    ) throws(SystemError) {
        (self.batch, self.rank) = (batch, rank)
        let count = checking ? batch.byteCount : min(Int(batch.recordBytes), max(size, Record.overhead))
        unsafe window = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        if checking {
            try unsafe batch.read(to: window.baseAddress!, file, checking: true)
            filled = Int(batch.recordBytes)
        }
        if !batch.isSorted { try sort(file) }
        try settle(file)
    }

    deinit { unsafe window.deallocate() }

    /// Whether all records were handed out.
    var isAtEnd: Bool { batch.isSorted ? start + place >= Int(batch.recordBytes) : next >= order.count }

    /// The present record. Valid until the next call.
    var record: RecordView { unsafe RecordView(UnsafeRawPointer(window.baseAddress!) + place) }

    /// Records from the present one on whose times are below `limit`, at least the present one, as far as they lie one
    /// behind the other in memory, and no more bytes than an output has room for: where they are, bytes, records.
    func run(below limit: UInt64) -> (first: UnsafeRawPointer, count: Int, records: Int) {
        let base = unsafe UnsafeRawPointer(window.baseAddress!)
        guard batch.isSorted else { return unsafe (base + place, record.byteCount, 1) }
        var (end, records) = (place + record.byteCount, 1)
        let last = min(filled, place + CaptureOutput.roomLimit)
        while end + Record.overhead <= last {
            let view = unsafe RecordView(base + end)
            guard view.time < limit, end + view.byteCount <= last else { break }
            end += view.byteCount
            records += 1
        }
        return unsafe (base + place, end - place, records)
    }

    /// Goes on behind `count` bytes of records that were handed out by `run`.
    func advance(_ count: Int, file: borrowing OpenFile) throws(SystemError) {
        if batch.isSorted { place += count } else { next += 1 }
        if !isAtEnd { try settle(file) }
    }

    /// Makes the present record be whole in the window, and takes its time.
    private func settle(_ file: borrowing OpenFile) throws(SystemError) {
        if !batch.isSorted {
            let entry = order[next]
            try load(Int(entry.offset), least: Int(entry.count), file)
        } else {
            if place + Record.overhead > filled { try load(start + place, least: Record.overhead, file) }
            let length = record.byteCount
            if place + length > filled { try load(start + place, least: length, file) }
        }
        time = record.time
    }

    /// Moves the window, so that at least so many bytes from a place of the batch on are in it.
    private func load(_ offset: Int, least: Int, _ file: borrowing OpenFile) throws(SystemError) {
        if offset >= start, offset + least <= start + filled {
            place = offset - start
            return
        }
        if unsafe least > window.count {
            unsafe window.deallocate()
            unsafe window = UnsafeMutableRawBufferPointer.allocate(byteCount: least, alignment: 16)
        }
        let count = unsafe min(window.count, Int(batch.recordBytes) - offset)
        let done = try unsafe file.read(
            UnsafeMutableRawBufferPointer(rebasing: window[..<count]), at: batch.offset + UInt64(offset))
        guard done == count, count >= least else { throw SystemError("read", file.path, code: EIO) }
        (start, place, filled) = (offset, 0, count)
    }

    /// Goes once over a batch whose times go back, and orders its records; equal times keep their order.
    private func sort(_ file: borrowing OpenFile) throws(SystemError) {
        var offset = 0
        while offset < Int(batch.recordBytes) {
            try load(offset, least: Record.overhead, file)
            let view = record
            order.append(Entry(time: view.time, offset: UInt64(offset), count: UInt64(view.byteCount)))
            offset += view.byteCount
        }
        order.sort { ($0.time, $0.offset) < ($1.time, $1.offset) }
    }
}
