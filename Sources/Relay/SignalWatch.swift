internal import CMachine
internal import Glibc
internal import Machine

/// SIGINT, SIGTERM and SIGHUP as events of the control loop. Made before any thread of the run.
struct SignalWatch: ~Copyable {
    private let descriptor: Int32

    /// Has SIGHUP wait for the watch; the other two may end a run that is still starting.
    static func holdReload() {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGHUP)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    init() throws(RelayError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        // A reader that goes away is an error of its write, not the end of the process.
        _ = signal(SIGPIPE, SIG_IGN)
        descriptor = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        if descriptor < 0 { throw RelayError(.kernel, "\(SystemError("signalfd"))") }
    }

    deinit { close(descriptor) }

    /// Waits at most this long; returns the signal that came, or nil.
    func wait(milliseconds: Int32) -> Int32? {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&waiting, 1, milliseconds) > 0 else { return nil }
        var info = signalfd_siginfo()
        let count = unsafe read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size)
        return count > 0 ? Int32(info.ssi_signo) : nil
    }
}
