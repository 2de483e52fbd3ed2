internal import Synchronization

/// How many transfers are streamed, which means that the kernel reads ahead for them as far as it likes: there may be only
/// a few, so that what is read for readers that turn slow stays little.
@safe struct StreamCount: BitwiseCopyable, @unchecked Sendable {
    // Safe because the number is only touched atomically, and never freed.
    private let count: UnsafeMutablePointer<Atomic<Int>>

    /// Streams at a time.
    private static var most: Int { @_noLocks get { 8 } }

    /// No streams.
    init() {
        unsafe count = .allocate(capacity: 1)
        unsafe count.initialize(to: Atomic(0))
    }

    /// Adds one; false if there are too many.
    @_noLocks func begin() -> Bool {
        if unsafe count.pointee.add(1, ordering: .relaxed).newValue <= Self.most { return true }
        end()
        return false
    }

    /// Takes one away.
    @_noLocks func end() { _ = unsafe count.pointee.subtract(1, ordering: .relaxed) }
}
