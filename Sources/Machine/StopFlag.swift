public import Synchronization

/// A one-way switch that many threads read and one sets.
public final class StopFlag: Sendable {
    @usableFromInline let value = Atomic<Bool>(false)

    /// Unset.
    public init() {}

    /// Whether it was set.
    public var isSet: Bool {
        @_noLocks @inlinable @inline(__always)
        get { value.load(ordering: .acquiring) }
    }

    /// Sets it for good.
    @_noLocks @inlinable
    public func set() { value.store(true, ordering: .releasing) }
}
