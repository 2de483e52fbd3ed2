internal import CMachine
public import Machine
import Synchronization

/// The interfaces of a run, in order of their ids: append-only, written by the threads that meet a new interface, read
/// without a lock by everybody else.
///
/// A batch refers to the first n interfaces; its trailer holds the CRC32C of exactly those n description blocks.
@safe public final class InterfaceTable: @unchecked Sendable {
    // Safe because entries below `count` never change, and `count` is published after them.

    /// How many interfaces a run can have.
    public static let capacity = 4096
    /// Bytes all descriptions of a run may take.
    public static let byteCapacity = 1 << 20
    /// Memory the table takes, for the budget.
    public static let byteCount = byteCapacity + capacity * MemoryLayout<Entry>.stride

    struct Entry: BitwiseCopyable {
        /// Where the block ends in `blocks`; it begins where the one before ends.
        var end: UInt32
        /// Checksum of all blocks up to and including this one.
        var crc: UInt32
    }

    private let blocks: UnsafeMutableRawPointer
    private let entries: UnsafeMutablePointer<Entry>
    private let published = Atomic<Int>(0)
    private let writers = Mutex<[[UInt8]: UInt32]>([:])

    /// An empty table.
    public init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe blocks = region.base
        unsafe entries = (region.base + Self.byteCapacity).bindMemory(to: Entry.self, capacity: Self.capacity)
    }

    /// Interfaces so far.
    public var count: Int {
        @_noLocks get { published.load(ordering: .acquiring) }
    }

    /// The checksum of the first `count` description blocks.
    @_noLocks public func checksum(first count: Int) -> UInt32 {
        count == 0 ? 0 : unsafe entries[count - 1].crc
    }

    /// The id of the interface with this description block, new or old; nil if the table is full.
    public func register(_ block: [UInt8]) -> UInt32? {
        writers.withLock { known in
            if let id = known[block] { return id }
            let index = published.load(ordering: .relaxed)
            let start = index == 0 ? 0 : Int(unsafe entries[index - 1].end)
            guard index < Self.capacity, start + block.count <= Self.byteCapacity else { return nil }
            unsafe block.withUnsafeBytes { unsafe spillway_copy(blocks + start, $0.baseAddress!, $0.count) }
            let seed = index == 0 ? 0 : unsafe entries[index - 1].crc
            unsafe entries[index] = Entry(
                end: UInt32(start + block.count), crc: CRC32C.of(blocks + start, count: block.count, seed: seed))
            published.store(index + 1, ordering: .releasing)
            known[block] = UInt32(index)
            return UInt32(index)
        }
    }

    /// The description blocks of the interfaces in `range`, one after the other.
    public func descriptions(_ range: Range<Int>) -> [UInt8] {
        guard !range.isEmpty, range.upperBound <= count else { return [] }
        let start = range.lowerBound == 0 ? 0 : Int(unsafe entries[range.lowerBound - 1].end)
        let end = Int(unsafe entries[range.upperBound - 1].end)
        return unsafe Array(UnsafeRawBufferPointer(start: blocks + start, count: end - start))
    }
}
