internal import CMachine
internal import Glibc

/// SIGINT and SIGTERM, taken where it suits: while waiting for the next frame to be due.
public struct StopSignals: Sendable {
    private var set = sigset_t()

    /// Blocks them from now on. No thread may have been started before.
    public init() {
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits at most this long; true as soon as one of them has come.
    public mutating func wait(nanoseconds: UInt64) -> Bool {
        var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        return unsafe sigtimedwait(&set, nil, &time) > 0
    }
}
