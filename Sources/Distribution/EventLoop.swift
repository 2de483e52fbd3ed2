internal import CMachine
internal import Glibc
internal import Machine

/// Something that waits for a descriptor.
protocol EventHandler: AnyObject {
    /// The descriptor has these events (epoll_ctl(2)).
    func handle(_ events: UInt32)
}

/// The descriptors of one thread, and who wants to know of them.
final class EventLoop {
    private let epoll: Int32
    private var handlers: [Int32: any EventHandler] = [:]
    private var watched: [Int32: UInt32] = [:]

    static let input = UInt32(EPOLLIN.rawValue), output = UInt32(EPOLLOUT.rawValue)
    static let broken = UInt32(EPOLLERR.rawValue) | UInt32(EPOLLHUP.rawValue)

    init() throws(SystemError) {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        if epoll < 0 { throw SystemError("epoll_create1") }
    }

    deinit { close(epoll) }

    /// Watches a descriptor for these events from now on; the handler is held until `forget`.
    func watch(_ descriptor: Int32, _ events: UInt32, _ handler: any EventHandler) {
        let former = watched[descriptor]
        if former == events { return }
        var event = unsafe epoll_event()
        unsafe event.events = events
        unsafe event.data.fd = descriptor
        _ = unsafe epoll_ctl(epoll, former == nil ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event)
        watched[descriptor] = events
        handlers[descriptor] = handler
    }

    /// Stops watching; before the descriptor is closed.
    func forget(_ descriptor: Int32) {
        guard watched.removeValue(forKey: descriptor) != nil else { return }
        handlers[descriptor] = nil
        _ = epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil)
    }

    /// Waits for at most this many milliseconds and hands out what happened.
    func turn(milliseconds: Int32) {
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 64)
        let count = unsafe epoll_wait(epoll, &events, 64, milliseconds)
        for place in 0..<max(0, Int(count)) {
            let descriptor = unsafe events[place].data.fd
            // One that was handled before may have closed this one.
            handlers[descriptor]?.handle(unsafe events[place].events)
        }
    }
}
