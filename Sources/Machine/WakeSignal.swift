internal import CMachine
import Glibc
import Synchronization

/// Wakes a thread that may be asleep in epoll, at the price of one atomic load when it is awake.
///
/// The sleeper announces that it is going to sleep, looks at its work once more, and only then waits; the waker makes
/// its work visible first and then looks at the announcement. One sequentially consistent fence on each side makes it
/// impossible that both miss each other (Dekker's argument).
public final class WakeSignal: Sendable {
    /// An eventfd; readable when somebody woke the sleeper.
    public let descriptor: Int32
    private let asleep = Atomic<Bool>(false)

    /// Makes the signal, awake.
    public init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { throw SystemError("eventfd") }
    }

    deinit {
        close(descriptor)
    }

    /// The sleeper is about to wait. It must look for work once more after this.
    @_noLocks public func announceSleep() {
        asleep.store(true, ordering: .sequentiallyConsistent)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The sleeper is awake again.
    @_noLocks public func announceAwake() {
        asleep.store(false, ordering: .relaxed)
        spillway_event_drain(descriptor)
    }

    /// Wakes the sleeper if it sleeps. What it should see must already be published.
    @_noLocks public func wake() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if asleep.load(ordering: .relaxed) { spillway_event_signal(descriptor) }
    }
}
