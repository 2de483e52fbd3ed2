internal import CMachine
import Synchronization

/// One thread's counters: a private copy that it alone changes, and a public copy that others read.
///
/// The public copy is written under a sequence lock at quiet moments (a batch closed, nothing to do), so that a reader
/// sees all of one moment or none of it: the ledger adds up in every snapshot, not only at the end.
@safe public struct Counters: BitwiseCopyable, @unchecked Sendable {
    // Safe because the memory lives as long as the process; by convention one thread calls `add`, `set` and `publish`.
    @usableFromInline let own: UnsafeMutablePointer<UInt64>
    private let shared: UnsafePointer<Atomic<UInt64>>
    private let count: Int

    /// Fresh counters, all zero.
    public init() throws(SystemError) {
        count = Counter.allCases.count
        let region = try MemoryRegion(byteCount: 4096, pages: .off)
        precondition(count * 8 <= 1024, "both copies and the sequence number fit the page")
        unsafe own = region.base.bindMemory(to: UInt64.self, capacity: count)
        let published = unsafe region.base + 2048
        unsafe published.initializeMemory(as: UInt64.self, repeating: 0, count: count + 1)
        unsafe shared = UnsafePointer(published.assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    /// Adds to a counter.
    @_noLocks @inlinable @inline(__always)
    public func add(_ counter: Counter, _ amount: UInt64 = 1) {
        unsafe own[counter.index] &+= amount
    }

    /// Takes from a gauge.
    @_noLocks @inlinable @inline(__always)
    public func subtract(_ counter: Counter, _ amount: UInt64) {
        unsafe own[counter.index] &-= amount
    }

    /// Sets a gauge, or a counter that somebody else counts (the kernel).
    @_noLocks @inlinable @inline(__always)
    public func set(_ counter: Counter, _ value: UInt64) {
        unsafe own[counter.index] = value
    }

    /// The owner's own view.
    @_noLocks @inlinable @inline(__always)
    public func value(_ counter: Counter) -> UInt64 {
        unsafe own[counter.index]
    }

    /// Lets others see the present values, all at once.
    @_noLocks public func publish() {
        let sequence = unsafe shared[0].load(ordering: .relaxed)
        unsafe shared[0].store(sequence &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
        var index = 0
        while index < count {
            unsafe shared[index + 1].store(own[index], ordering: .relaxed)
            index += 1
        }
        unsafe shared[0].store(sequence &+ 2, ordering: .releasing)
    }

    /// The values of one moment, indexed by `Counter.index`. For any thread.
    public func snapshot() -> CounterSnapshot {
        while true {
            let before = unsafe shared[0].load(ordering: .acquiring)
            let values = (0..<count).map { unsafe shared[$0 + 1].load(ordering: .relaxed) }
            atomicMemoryFence(ordering: .acquiring)
            let after = unsafe shared[0].load(ordering: .relaxed)
            if before == after, before & 1 == 0 { return CounterSnapshot(values: values) }
            spillway_cpu_relax()
        }
    }
}

/// Counter values of one moment, or sums of such.
public struct CounterSnapshot: Sendable, Equatable {
    private var values: [UInt64]

    /// All zero.
    public init() { values = [UInt64](repeating: 0, count: Counter.allCases.count) }

    init(values: [UInt64]) { self.values = values }

    /// The value of one counter.
    public subscript(_ counter: Counter) -> UInt64 {
        get { values[counter.index] }
        set { values[counter.index] = newValue }
    }

    /// The sums of two snapshots; of the longest times the longer one.
    public static func + (left: Self, right: Self) -> Self {
        var sum = Self(values: zip(left.values, right.values).map { $0 &+ $1 })
        sum[.longestReassembly] = max(left[.longestReassembly], right[.longestReassembly])
        return sum
    }

    /// The sum of all counters of one scope and report name, for example everything `dropped` by workers.
    public func sum(_ report: String, scope: Counter.Scope) -> UInt64 {
        Counter.allCases.reduce(0) { total, counter in
            let entry = counter.entry
            return entry.report == report && entry.scope == scope ? total &+ self[counter] : total
        }
    }
}
