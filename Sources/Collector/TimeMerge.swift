internal import Machine
internal import Pcapng
internal import SpillCache

/// Writes the records of a journal's file in the order of their times. Batches are merged, so that memory goes by how many
/// of them overlap in time, and is bounded: beyond the budget only a window of each is held.
struct TimeMerge: ~Copyable {
    private static let smallWindow = 4096
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
    mutating func run(into output: inout CaptureOutput) throws(SystemError) {
        let half = index.batches.count / 2
        while true {
            try loadWhatIsDue()
            guard let first = heap.first else { return }
            let limit = min(secondTime, loaded < index.batches.count ? index.batches[loaded].leastTime : .max)
            let (records, count) = unsafe first.run(below: limit)
            try unsafe write(records, count, map: index.maps[Int(first.batch.map)], into: &output)
            try first.advance(count, file: file)
            if first.isAtEnd {
                used -= first.byteCount
                removeFirst()
                if loaded == half { CrashPoint.sealHalfSorted.pass() }
            } else {
                siftDown()
            }
        }
    }

    /// Takes in every batch that may have the earliest record.
    private mutating func loadWhatIsDue() throws(SystemError) {
        while loaded < index.batches.count {
            let batch = index.batches[loaded]
            if let first = heap.first, first.time < batch.leastTime { return }
            let fits = used + Int(batch.recordBytes) <= budget
            let cursor = try BatchCursor(
                batch, rank: loaded, window: fits ? Int(batch.recordBytes) : Self.smallWindow, file: file)
            used += cursor.byteCount
            loaded += 1
            insert(cursor)
        }
    }

    /// Writes records as they are, or with other interface ids.
    private mutating func write(
        _ records: UnsafeRawPointer, _ count: Int, map: [UInt32], into output: inout CaptureOutput
    ) throws(SystemError) {
        if map.isEmpty {
            try unsafe output.append(records, count: count)
        }
        var offset = 0
        while offset < count {
            let view = unsafe RecordView(records + offset)
            let length = view.byteCount
            var interface = Int(view.interface)
            if !map.isEmpty {
                interface = Int(map[interface])
                let room = try unsafe output.room(length)
                unsafe room.copyMemory(from: records + offset, byteCount: length)
                unsafe (room + 8).storeBytes(of: UInt32(interface), as: UInt32.self)
                output.advance(length)
            }
            packets[interface] += 1
            offset += length
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
