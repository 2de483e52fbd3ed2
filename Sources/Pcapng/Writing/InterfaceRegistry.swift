internal import CMachine
public import Machine
import Synchronization

/// The interfaces of a run, in order of their ids: append-only, written by the threads that meet a new interface, read
/// without a lock by everybody else.
///
/// A batch refers to the first n interfaces; its trailer holds the CRC32C of exactly those n description blocks.
@safe public final class InterfaceRegistry: @unchecked Sendable {
    // Safe because entries below `count` never change, and `count` is published after them.

    /// How many interfaces a run can have.
    public static let capacity = 4096
    /// Bytes all descriptions of a run may take.
    public static let byteCapacity = 1 << 20
    /// Memory the table takes, for the budget.
    public static let byteCount = byteCapacity + capacity * 8

    /// What other threads read.
    public let view: InterfaceView
    private let blocks: UnsafeMutableRawPointer
    private let entries: UnsafeMutablePointer<InterfaceView.Entry>
    private let published: UnsafePointer<Atomic<Int>>
    private let writers = Mutex<[[UInt8]: UInt32]>([:])

    /// An empty table.
    public init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe blocks = region.base
        unsafe entries = (region.base + Self.byteCapacity).bindMemory(
            to: InterfaceView.Entry.self, capacity: Self.capacity)
        let count = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 1)
        unsafe count.initialize(to: Atomic(0))
        unsafe published = UnsafePointer(count)
        unsafe view = InterfaceView(blocks: blocks, entries: entries, published: published)
    }

    /// The id of the interface with this description block, new or old; nil if the table is full.
    public func register(_ block: [UInt8]) -> UInt32? {
        writers.withLock { known in
            if let id = known[block] { return id }
            let index = unsafe published.pointee.load(ordering: .relaxed)
            let start = index == 0 ? 0 : Int(unsafe entries[index - 1].end)
            guard index < Self.capacity, start + block.count <= Self.byteCapacity else { return nil }
            unsafe block.withUnsafeBytes { unsafe spillway_copy(blocks + start, $0.baseAddress!, $0.count) }
            let seed = index == 0 ? 0 : unsafe entries[index - 1].crc
            unsafe entries[index] = InterfaceView.Entry(
                end: UInt32(start + block.count), crc: CRC32C.of(blocks + start, count: block.count, seed: seed))
            unsafe published.pointee.store(index + 1, ordering: .releasing)
            known[block] = UInt32(index)
            return UInt32(index)
        }
    }
}

/// The lock-free reading side of an ``InterfaceRegistry``.
@safe public struct InterfaceView: BitwiseCopyable, @unchecked Sendable {
    // Safe because entries below the published count never change and live as long as the process.
    let blocks: UnsafeMutableRawPointer
    let entries: UnsafeMutablePointer<Entry>
    let published: UnsafePointer<Atomic<Int>>

    struct Entry: BitwiseCopyable {
        /// Where the block ends in `blocks`; it begins where the one before ends.
        var end: UInt32
        /// Checksum of all blocks up to and including this one.
        var crc: UInt32
    }

    /// Interfaces so far.
    public var count: Int {
        @_noLocks get { unsafe published.pointee.load(ordering: .acquiring) }
    }

    /// The checksum of the first `count` description blocks.
    @_noLocks public func checksum(first count: Int) -> UInt32 {
        count == 0 ? 0 : unsafe entries[count - 1].crc
    }

    /// The description blocks of interfaces `from` to before `to`, one after the other. They never change.
    @_noLocks public func descriptions(from: Int, to: Int) -> UnsafeRawBufferPointer {
        guard from < to, to <= count else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        let start = from == 0 ? 0 : Int(unsafe entries[from - 1].end)
        let end = Int(unsafe entries[to - 1].end)
        return unsafe UnsafeRawBufferPointer(start: blocks + start, count: end - start)
    }
}
