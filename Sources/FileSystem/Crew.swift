internal import CFuse
import Glibc
import Machine
import Synchronization

/// The threads that take requests from the kernel. Nothing they do waits for data, so a few are enough.
///
/// SAFETY: the session outlives the threads: `finish` waits for them.
@safe final class Crew: @unchecked Sendable {
    private let session: OpaquePointer
    /// Readable once all workers have ended, because the directory was unmounted.
    let ended: Int32
    private let running = Atomic<Int>(0)
    private let stopped = Atomic<Int>(0)

    init(_ session: OpaquePointer) {
        unsafe self.session = unsafe session
        ended = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
    }

    deinit { close(ended) }

    func start(_ services: StreamServices) throws(SystemError) {
        let count = min(4, max(2, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
        running.store(count + 2, ordering: .sequentiallyConsistent)
        try PinnedThread(name: "follow", cpus: nil) {
            services.follower.run()
            self.leave()
        }.detach()
        try PinnedThread(name: "prefetch", cpus: nil) {
            services.prefetcher.run()
            self.leave()
        }.detach()
        for number in 0..<count {
            try PinnedThread(name: "mount \(number)", cpus: nil) {
                self.work()
                self.leave()
            }.detach()
        }
    }

    /// Waits for a second until all threads have ended. Whether they have.
    func finish(_ services: StreamServices) -> Bool {
        services.follower.stop()
        services.prefetcher.stop()
        for _ in 0..<1000 {
            if running.load(ordering: .acquiring) == 0 { return true }
            usleep(1000)
        }
        return false
    }

    private func leave() {
        running.subtract(1, ordering: .acquiringAndReleasing)
    }

    private func work() {
        var buffer = unsafe fuse_buf()
        defer { unsafe free(buffer.mem) }
        while unsafe fuse_session_exited(session) == 0 {
            let count = unsafe fuse_session_receive_buf(session, &buffer)
            if count == -EINTR { continue }
            guard count > 0 else { break }
            unsafe fuse_session_process_buf(session, &buffer)
        }
        var one: UInt64 = 1
        _ = unsafe write(ended, &one, 8)
    }
}

/// The signals that end a mount, taken out of the process's ordinary handling.
struct EndSignals {
    private let descriptor: Int32

    init() {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&signals, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        descriptor = unsafe spillway_signals(&signals)
    }

    /// Waits for a signal, or until the other descriptor is readable. Whether it was a signal.
    mutating func wait(orUntil other: Int32) -> Bool {
        var entries = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: other, events: Int16(POLLIN), revents: 0),
        ]
        while unsafe poll(&entries, 2, -1) < 0 && errno == EINTR {}
        close(descriptor)
        return entries[0].revents != 0
    }
}
