internal import CMachine
internal import Glibc
internal import Machine

/// SIGINT and SIGTERM as a descriptor that becomes readable. Made before any thread.
struct StopSignals: ~Copyable {
    let descriptor: Int32

    init() throws(CollectorError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        _ = signal(SIGPIPE, SIG_IGN)
        descriptor = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        if descriptor < 0 { throw .kernel(SystemError("signalfd")) }
    }

    deinit { close(descriptor) }

    /// Whether a signal came.
    func take() -> Bool {
        var info = signalfd_siginfo()
        return unsafe read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) > 0
    }
}
