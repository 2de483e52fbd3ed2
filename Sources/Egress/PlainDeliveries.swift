internal import Machine
internal import SegmentPool

/// What the peer's TCP has acknowledged on a connection that may still turn out to be a collector's: a greeting that comes
/// late makes it undelivered again. The latest so many batches, in fixed memory.
@safe struct PlainDeliveries: ~Copyable {
    // Safe because the memory lives as long as the process and places stay within a power of two.

    /// A batch, and which use of its segment it was in.
    struct Entry: BitwiseCopyable {
        var reference: BatchReference
        var age: UInt64
        var packets: UInt32
        var bytes: UInt32

        @_noLocks init(_ batch: InFlight, age: UInt64) {
            (reference, self.age) = (batch.reference, age)
            (packets, bytes) = (batch.packets, batch.bytes)
        }
    }

    /// Batches remembered: who greets at all does so in the first moments.
    static let capacity = 4096
    static let byteCount = capacity * MemoryLayout<Entry>.stride
    private let entries: UnsafeMutablePointer<Entry>?
    private var tail = 0
    private(set) var count = 0

    /// - Parameter remembers: false for connections on which nobody greets; nothing is kept then.
    init(remembers: Bool) throws(SystemError) {
        guard remembers else {
            unsafe entries = nil
            return
        }
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe entries = region.base.bindMemory(to: Entry.self, capacity: Self.capacity)
    }

    /// Remembers a batch; the oldest is forgotten where there are too many.
    @_noLocks mutating func append(_ entry: Entry) {
        guard let entries = unsafe entries else { return }
        unsafe entries[tail & 4095] = entry
        tail &+= 1
        count = min(count + 1, 4096)
    }

    /// The latest one, removed.
    @_noLocks mutating func popLast() -> Entry? {
        guard let entries = unsafe entries, count > 0 else { return nil }
        tail &-= 1
        count -= 1
        return unsafe entries[tail & 4095]
    }

    @_noLocks mutating func clear() { count = 0 }
}
