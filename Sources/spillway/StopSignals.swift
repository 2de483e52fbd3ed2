import Glibc
import Relay

/// SIGINT and SIGTERM, waited for. Made before any other thread, which then has them blocked.
struct StopSignals {
    private let set: sigset_t

    init() throws(Failure) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM] { unsafe sigaddset(&set, signal) }
        guard unsafe pthread_sigmask(SIG_BLOCK, &set, nil) == 0 else {
            throw Failure(.kernel, "pthread_sigmask: \(FileOutput.reason)")
        }
        _ = signal(SIGPIPE, SIG_IGN)
        self.set = set
    }

    /// Waits for one of them; false if none came in time. Without a time it waits until one comes.
    func wait(milliseconds: Int?) -> Bool {
        var set = set
        while true {
            var limit = timespec(tv_sec: (milliseconds ?? 0) / 1000, tv_nsec: (milliseconds ?? 0) % 1000 * 1_000_000)
            let signal =
                unsafe milliseconds == nil ? sigwaitinfo(&set, nil) : sigtimedwait(&set, nil, &limit)
            if signal > 0 { return true }
            if errno != EINTR { return false }
        }
    }
}
