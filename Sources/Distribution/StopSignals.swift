internal import CMachine
internal import Glibc
public import Machine

/// SIGINT and SIGTERM, caught from now on. Made before any thread.
public final class StopSignals: Sendable {
    private let descriptor: Int32

    /// Catches them; a signal for writing to a peer that is gone is ignored from now on, too.
    public init() throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        _ = signal(SIGPIPE, SIG_IGN)
        descriptor = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        if descriptor < 0 { throw SystemError("signalfd") }
    }

    deinit { close(descriptor) }

    /// Whether one has come since it was asked last.
    public func take() -> Bool {
        var info = signalfd_siginfo()
        return unsafe read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) > 0
    }

    /// Calls `body` when one comes, on a thread of its own.
    public func onStop(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let thread = try PinnedThread(name: "signals", cpus: nil) { [self] in
            while true {
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&entry, 1, -1)
                if take() { body() }
            }
        }
        thread.detach()
    }
}
