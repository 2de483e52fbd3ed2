internal import CMachine
import Glibc
import Synchronization

/// Wakes a thread that may be asleep in epoll, at the price of one atomic load when it is awake.
///
/// The sleeper announces that it is going to sleep, looks at its work once more, and only then waits; the waker makes
/// its work visible first and then looks at the announcement. One sequentially consistent fence on each side makes it
/// impossible that both miss each other (Dekker's argument).
@safe public struct WakeSignal: @unchecked Sendable {
    // Safe because the one atomic word lives as long as the process. A struct, because the data plane may hold no class.

    /// An eventfd; readable when somebody woke the sleeper.
    public let descriptor: Int32
    private let asleep: UnsafePointer<Atomic<Bool>>

    /// Makes the signal, awake.
    public init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { throw SystemError("eventfd") }
        let word = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(false))
        unsafe asleep = UnsafePointer(word)
    }

    /// The sleeper is about to wait. It must look for work once more after this.
    @_noLocks public func announceSleep() {
        unsafe asleep.pointee.store(true, ordering: .sequentiallyConsistent)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The sleeper is awake again.
    @_noLocks public func announceAwake() {
        unsafe asleep.pointee.store(false, ordering: .relaxed)
        spillway_event_drain(descriptor)
    }

    /// Wakes the sleeper if it sleeps. What it should see must already be published.
    @_noLocks public func wake() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if unsafe asleep.pointee.load(ordering: .relaxed) { spillway_event_signal(descriptor) }
    }
}
