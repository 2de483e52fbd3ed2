internal import CMachine
import Glibc
import Synchronization

/// Wakes a thread that may be asleep in epoll, at the price of one atomic load when it is awake.
///
/// The sleeper announces that it is going to sleep, looks at its work once more, and only then waits; the waker makes
/// its work visible first and then looks at the announcement. One sequentially consistent fence on each side makes it
/// impossible that both miss each other (Dekker's argument).
///
/// A sleeper that will wake up soon by itself says that it dozes, and is woken only for what is urgent: to wake a thread
/// costs the waker as much as hundreds of packets.
@safe public struct WakeSignal: @unchecked Sendable {
    // Safe because the one atomic word lives as long as the process. A struct, because the data plane may hold no class.

    /// An eventfd; readable when somebody woke the sleeper.
    public let descriptor: Int32
    private let state: UnsafePointer<Atomic<UInt8>>

    private static var awake: UInt8 { @_noLocks get { 0 } }
    private static var dozing: UInt8 { @_noLocks get { 1 } }
    private static var asleep: UInt8 { @_noLocks get { 2 } }

    /// Makes the signal, awake.
    public init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { throw SystemError("eventfd") }
        let word = UnsafeMutablePointer<Atomic<UInt8>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
        unsafe state = UnsafePointer(word)
    }

    /// The sleeper is about to wait. It must look for work once more after this.
    ///
    /// - Parameter lightly: it will wake up soon by itself.
    @_noLocks public func announceSleep(lightly: Bool = false) {
        unsafe state.pointee.store(lightly ? Self.dozing : Self.asleep, ordering: .sequentiallyConsistent)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The sleeper is awake again.
    @_noLocks public func announceAwake() {
        unsafe state.pointee.store(Self.awake, ordering: .relaxed)
        spillway_event_drain(descriptor)
    }

    /// Wakes the sleeper if it sleeps; one that dozes only if it is urgent. What it should see must already be published.
    ///
    /// - Returns: false if it is left to doze.
    @_noLocks @discardableResult public func wake(urgently: Bool = true) -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let state = unsafe state.pointee.load(ordering: .relaxed)
        if state == Self.awake { return true }
        if state == Self.dozing && !urgently { return false }
        spillway_event_signal(descriptor)
        return true
    }
}
