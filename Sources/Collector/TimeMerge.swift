internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// Writes the records of a journal's file in the order of their times. Batches are merged, so that memory goes by how many
/// of them overlap in time, and is bounded: beyond the budget only a window of each is held.
struct TimeMerge: ~Copyable {
    private static let smallWindow = 4096
    /// The code of the error that says: read and check the whole journal first.
    static let unchecked = EBADMSG
    private let index: JournalIndex
    private let file: OpenFile
    private let budget: Int
    private var used = 0
    private var loaded = 0
    /// A binary heap: the cursor with the earliest record first.
    private var heap: [BatchCursor] = []
    /// Records written, by interface of the file.
    private(set) var packets: [UInt64]

    init(_ index: JournalIndex, _ file: consuming OpenFile, budget: Int) {
        self.index = index
        self.budget = budget
        packets = [UInt64](repeating: 0, count: index.interfaces.count)
        self.file = file
    }

    /// Merges all of it into `output`.
    ///
    /// - Throws: with the code `unchecked` where the index is not of a moment ago and a batch cannot be vouched for.
    mutating func run(into output: inout CaptureOutput) throws(SystemError) {
        while true {
            while let batch = nextAlone {
                try copy(batch, into: &output)
                loaded += 1
                passHalf()
            }
            try loadWhatIsDue()
            guard let first = heap.first else { return }
            let limit = min(secondTime, loaded < index.batches.count ? index.batches[loaded].leastTime : .max)
            let (records, count, packets) = unsafe first.run(below: limit)
            try unsafe write(records, count, packets, of: first.batch, into: &output)
            try first.advance(count, file: file)
            if first.isAtEnd {
                used -= first.byteCount
                removeFirst()
                passHalf()
            } else {
                siftDown()
            }
        }
    }

    private func passHalf() {
        if loaded == index.batches.count / 2 { CrashPoint.sealHalfSorted.pass() }
    }

    /// The next batch, if it is in order and all other records come before it or behind it.
    private var nextAlone: JournalIndex.Placed? {
        guard heap.isEmpty, loaded < index.batches.count else { return nil }
        let batch = index.batches[loaded]
        let isAlone = loaded + 1 == index.batches.count || batch.greatestTime <= index.batches[loaded + 1].leastTime
        return isAlone && batch.isSorted && batch.byteCount <= CaptureOutput.roomLimit ? batch : nil
    }

    /// Reads a whole batch to where it is written from.
    private mutating func copy(
        _ batch: JournalIndex.Placed, into output: inout CaptureOutput
    ) throws(SystemError) {
        let room = try unsafe output.room(batch.byteCount)
        try unsafe batch.read(to: room, file, checking: !index.isChecked)
        unsafe adapt(room, Int(batch.recordBytes), Int(batch.packets), of: batch)
        output.advance(Int(batch.recordBytes))
    }

    /// Takes in every batch that may have the earliest record.
    private mutating func loadWhatIsDue() throws(SystemError) {
        while loaded < index.batches.count {
            let batch = index.batches[loaded]
            if let first = heap.first, first.time < batch.leastTime { return }
            let fits = used + batch.byteCount <= budget
            guard fits || index.isChecked else { throw SystemError("read", file.path, code: Self.unchecked) }
            let cursor = try BatchCursor(
                batch, rank: loaded, window: fits ? batch.byteCount : Self.smallWindow, file: file,
                checking: !index.isChecked)
            used += cursor.byteCount
            loaded += 1
            insert(cursor)
        }
    }

    /// Writes records, no more than there is room for at once.
    private mutating func write(
        _ records: UnsafeRawPointer, _ count: Int, _ number: Int, of batch: JournalIndex.Placed,
        into output: inout CaptureOutput
    ) throws(SystemError) {
        let room = try unsafe output.room(count)
        unsafe room.copyMemory(from: records, byteCount: count)
        unsafe adapt(room, count, number, of: batch)
        output.advance(count)
    }

    /// Counts records by interface, and gives them the interface ids of the file.
    private mutating func adapt(
        _ records: UnsafeMutableRawPointer, _ count: Int, _ number: Int, of batch: JournalIndex.Placed
    ) {
        let map = index.maps[Int(batch.map)]
        if map.isEmpty, batch.interface == 0 {
            packets[0] += UInt64(number)
            return
        }
        var offset = 0
        while offset < count {
            let view = unsafe RecordView(records + offset)
            let interface = map.isEmpty ? view.interface : map[Int(view.interface)]
            unsafe (records + (offset + 8)).storeBytes(of: interface, as: UInt32.self)
            packets[Int(interface)] += 1
            offset += view.byteCount
        }
    }

    // ---- the heap

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        let (one, other) = (heap[left], heap[right])
        return one.time != other.time ? one.time < other.time : one.rank < other.rank
    }

    /// The earliest time of all cursors but the first.
    private var secondTime: UInt64 {
        var time = heap.count > 1 ? heap[1].time : .max
        if heap.count > 2 { time = min(time, heap[2].time) }
        return time
    }

    private mutating func insert(_ cursor: BatchCursor) {
        heap.append(cursor)
        var place = heap.count - 1
        while place > 0, precedes(place, (place - 1) / 2) {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        siftDown()
    }

    private mutating func siftDown() {
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count && precedes(child, least) {
                least = child
            }
            if least == place { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}
