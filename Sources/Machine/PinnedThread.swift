internal import CMachine
internal import Glibc

/// A thread with a name and, if wanted, a CPU set of its own. It is born with all signals blocked.
public struct PinnedThread: ~Copyable {
    private let handle: UInt64

    /// Starts `body` on a new thread.
    ///
    /// - Parameters:
    ///   - name: at most 15 bytes are kept; perf and /proc show them.
    ///   - cpus: where it may run; nil inherits.
    ///   - body: runs once. A failure to pin is not fatal: it is reported through `pinFailed`.
    public init(
        name: String, cpus: CPUSet?,
        pinFailed: @escaping @Sendable (SystemError) -> Void = { _ in },
        body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        let context = unsafe Unmanaged.passRetained(
            Start {
                unsafe spillway_name_self(name)
                if let cpus {
                    do throws(SystemError) { try cpus.pinCurrentThread() } catch { pinFailed(error) }
                }
                body()
            })
        var handle: UInt64 = 0
        let status = unsafe spillway_thread_start(
            &handle,
            { raw in
                unsafe Unmanaged<Start>.fromOpaque(raw!).takeRetainedValue().body()
                return nil
            }, context.toOpaque())
        guard status == 0 else {
            unsafe context.release()
            throw SystemError("pthread_create", name, code: status)
        }
        self.handle = handle
    }

    /// Waits until the thread has ended.
    public consuming func join() {
        _ = spillway_thread_join(handle)
    }

    /// Lets the thread end by itself, unobserved.
    public consuming func detach() {
        _ = pthread_detach(pthread_t(handle))
    }

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
