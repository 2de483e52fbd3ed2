internal import CMachine
internal import Pcapng

/// Records in memory, as many as fit, with an order of their own.
@safe struct RecordBuffer: ~Copyable {
    // Safe because the memory belongs to this value alone and records are whole within it.
    private struct Entry {
        var time: UInt64
        var offset: UInt32
        var byteCount: UInt32
    }

    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private var filled = 0
    /// In the order of arrival until `sort`; from then on the first `taken` are done with.
    private var entries: [Entry] = []
    private var taken = 0

    /// Memory it takes: the records and 16 bytes for each of the least length.
    init(capacity: Int) {
        self.capacity = capacity
        unsafe memory = .allocate(byteCount: capacity, alignment: 16)
        entries.reserveCapacity(Self.entryLimit(capacity))
    }

    deinit { unsafe memory.deallocate() }

    /// Small packets of 64 bytes fill both at the same time.
    private static func entryLimit(_ capacity: Int) -> Int { max(capacity / 96, 64) }

    var isEmpty: Bool { taken == entries.count }
    /// Bytes of the records that are not taken.
    var byteCount: Int { entries[taken...].reduce(0) { $0 + Int($1.byteCount) } }

    /// Whether one more record fits.
    func hasRoom(_ count: Int) -> Bool {
        filled + count <= capacity && entries.count < Self.entryLimit(capacity)
    }

    /// Adds a record, with its interface id changed by a map that is not empty. It has room, or the buffer is empty and
    /// grows to it.
    mutating func add(_ record: RecordView, from base: UnsafeRawPointer, map: [UInt32]) -> UInt32 {
        let count = record.byteCount
        if count > capacity {
            precondition(isEmpty, "a buffer grows when it is empty")
            unsafe memory.deallocate()
            unsafe memory = .allocate(byteCount: count, alignment: 16)
            capacity = count
        }
        let place = unsafe memory + filled
        unsafe spillway_copy(place, base, count)
        let interface = map.isEmpty ? record.interface : map[Int(record.interface)]
        unsafe (place + 8).storeBytes(of: interface, as: UInt32.self)
        entries.append(Entry(time: record.time, offset: UInt32(filled), byteCount: UInt32(count)))
        filled += count
        return interface
    }

    /// Puts the records in the order of their times; of equal ones the one that came first goes first.
    mutating func sort() { entries[taken...].sort { ($0.time, $0.offset) < ($1.time, $1.offset) } }

    /// Time of the next record; there must be one.
    var time: UInt64 { entries[taken].time }

    /// The next record.
    var next: (base: UnsafeRawPointer, count: Int) {
        let entry = entries[taken]
        return unsafe (UnsafeRawPointer(memory + Int(entry.offset)), Int(entry.byteCount))
    }

    mutating func take() { taken += 1 }

    /// Moves what is not taken to the beginning, in the order of arrival, so that there is room.
    mutating func compact() {
        var rest = Array(entries[taken...])
        rest.sort { $0.offset < $1.offset }
        filled = 0
        for place in rest.indices {
            unsafe spillway_move(memory + filled, memory + Int(rest[place].offset), Int(rest[place].byteCount))
            rest[place].offset = UInt32(filled)
            filled += Int(rest[place].byteCount)
        }
        entries.replaceSubrange(0..., with: rest)
        taken = 0
    }
}
