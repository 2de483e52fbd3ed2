public import Synchronization

/// A one-way switch that many threads read and one sets. A struct over one word that lives as long as the process,
/// because the data plane may hold no class.
@safe public struct StopFlag: @unchecked Sendable {
    // Safe because the word is never freed and only touched atomically.
    @usableFromInline let value: UnsafePointer<Atomic<Bool>>

    /// Unset.
    public init() {
        let word = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(false))
        unsafe value = UnsafePointer(word)
    }

    /// Whether it was set.
    public var isSet: Bool {
        @_noLocks @inlinable @inline(__always)
        get { unsafe value.pointee.load(ordering: .acquiring) }
    }

    /// Sets it for good.
    @_noLocks @inlinable
    public func set() { unsafe value.pointee.store(true, ordering: .releasing) }
}
