internal import Synchronization

/// How many files the spill thread may have begun in all. The egress thread says so, because each needs a place in its
/// catalogue; a file without one would be written and never be sent, counted or removed.
@safe struct FilePermit: @unchecked Sendable {
    // Safe because its memory lives as long as the process and is atomic.
    private let count: UnsafePointer<Atomic<UInt64>>

    /// A permit for no file.
    init() {
        let memory = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: 1)
        unsafe memory.initialize(to: Atomic(0))
        unsafe count = UnsafePointer(memory)
    }

    /// Files that may be begun, those that were included.
    var files: UInt64 {
        @_noLocks get { unsafe count.pointee.load(ordering: .acquiring) }
        @_noLocks nonmutating set { unsafe count.pointee.store(newValue, ordering: .releasing) }
    }
}
