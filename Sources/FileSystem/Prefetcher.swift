internal import CFuse
import Glibc
import Machine
import Synchronization

/// A stream that can be read before it is asked.
protocol PrefetchedStream: AnyObject, Sendable {
    /// Reads what was announced, if it still makes sense.
    func prefetch()
}

/// The thread that reads the next piece of a stream while the one before is on its way to the reader. A reader of large
/// pieces would otherwise wait for two copies one after the other.
final class Prefetcher: Sendable {
    private let queue = Mutex<[any PrefetchedStream]>([])
    private let signal = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_SEMAPHORE))
    private let stopped = Atomic<Bool>(false)

    deinit { close(signal) }

    /// A stream has a place to read ahead from.
    func want(_ stream: any PrefetchedStream) {
        queue.withLock { $0.append(stream) }
        nudge()
    }

    /// Ends `run`.
    func stop() {
        stopped.store(true, ordering: .releasing)
        nudge()
    }

    /// Serves until stopped; the body of a thread.
    func run() {
        while true {
            var count: UInt64 = 0
            _ = unsafe read(signal, &count, 8)
            if stopped.load(ordering: .acquiring) { return }
            queue.withLock { $0.isEmpty ? nil : $0.removeFirst() }?.prefetch()
        }
    }

    private func nudge() {
        var one: UInt64 = 1
        _ = unsafe write(signal, &one, 8)
    }
}
