internal import CMachine
internal import Glibc

/// SIGINT and SIGTERM, caught from now on. Made before any thread, which then has them blocked as well.
public final class StopSignals: Sendable {
    /// Readable when one has come; for an event loop.
    public let descriptor: Int32
    private let set: sigset_t

    /// Catches them; a signal for writing to a peer that is gone is ignored from now on, too.
    public init() throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        _ = signal(SIGPIPE, SIG_IGN)
        descriptor = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        if descriptor < 0 { throw SystemError("signalfd") }
        self.set = set
    }

    deinit { close(descriptor) }

    /// Whether one has come since it was asked last.
    public func take() -> Bool {
        var info = signalfd_siginfo()
        return unsafe read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) > 0
    }

    /// Waits for one; false if none came in time.
    ///
    /// - Parameter nanoseconds: how long at most; nil for ever.
    public func wait(nanoseconds: UInt64? = nil) -> Bool {
        var set = set
        guard let nanoseconds else {
            while unsafe sigwaitinfo(&set, nil) < 0 {}
            return true
        }
        var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        return unsafe sigtimedwait(&set, nil, &time) > 0
    }

    /// Calls `body` when one comes, on a thread of its own.
    public func onStop(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let thread = try PinnedThread(name: "signals", cpus: nil) { [self] in
            while wait() { body() }
        }
        thread.detach()
    }
}
