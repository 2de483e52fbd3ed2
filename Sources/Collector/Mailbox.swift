internal import CMachine
internal import Glibc
internal import Machine
internal import Synchronization

/// Hands values from thread to thread, and wakes who waits for them in poll or epoll.
final class Mailbox<Element: Sendable>: Sendable {
    /// Readable when something was posted.
    let descriptor: Int32
    private let waiting = Mutex<[Element]>([])

    init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { throw SystemError("eventfd") }
    }

    deinit { close(descriptor) }

    func post(_ element: Element) {
        waiting.withLock { $0.append(element) }
        spillway_event_signal(descriptor)
    }

    /// Wakes the waiting thread without a value.
    func wake() { spillway_event_signal(descriptor) }

    /// Whether nothing is waiting.
    var isEmpty: Bool { waiting.withLock { $0.isEmpty } }

    /// All that was posted, in order.
    func take() -> [Element] {
        spillway_event_drain(descriptor)
        return waiting.withLock { list in
            defer { list = [] }
            return list
        }
    }

    /// Waits until something is there, or for so long.
    func wait(milliseconds: Int32) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&entry, 1, milliseconds)
    }
}
