internal import Capture
internal import CMachine
internal import Glibc
internal import Machine
internal import SegmentPool

/// Connections coming and going: the control side of sockets.
extension Egress {
    /// Starts a connection attempt.
    mutating func connect(_ place: Int, now: UInt64) {
        let plan = unsafe setup.plans[connections[place].plan]
        guard case .connect(let addresses) = plan.outlet, !addresses.isEmpty else { return }
        let remote = addresses[unsafe connections[place].address % addresses.count]
        unsafe connections[place].address += 1
        do throws(SystemError) {
            let descriptor = try openSocket(to: remote)
            // Our own packets must be known before the first of them is on the wire.
            let local = try Endpoint.local(of: descriptor)
            unsafe connections[place].ticket = setup.ownTraffic.enter(local: local, remote: remote)
            unsafe connections[place].descriptor = descriptor
            unsafe connections[place].state = .connecting
            watch(descriptor, EventSource.word(connection: place), writable: true)
            let status = unsafe remote.withSocketAddress { unsafe Glibc.connect(descriptor, $0, $1) }
            if status != 0, errno != EINPROGRESS {
                retry(place, now: now, because: SystemError("connect", plan.address))
            }
        } catch {
            retry(place, now: now, because: error)
        }
    }

    /// A socket bound to the address and port it will connect from.
    private func openSocket(to remote: Endpoint) throws(SystemError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(remote.family, type, 0)
        guard descriptor >= 0 else { throw SystemError("socket") }
        do throws(SystemError) {
            let source = try sourceAddress(for: remote)
            let status = unsafe source.withSocketAddress { unsafe bind(descriptor, $0, $1) }
            if status != 0 { throw SystemError("bind", source.description) }
            configure(descriptor)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// The address the kernel would send from: a datagram socket that is only connected tells it.
    private func sourceAddress(for remote: Endpoint) throws(SystemError) -> Endpoint {
        let probe = socket(remote.family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { throw SystemError("socket") }
        defer { close(probe) }
        let status = unsafe remote.withSocketAddress { unsafe Glibc.connect(probe, $0, $1) }
        if status != 0 { throw SystemError("connect", remote.description) }
        return try Endpoint.local(of: probe).with(port: 0)
    }

    /// Options of every stream socket of ours.
    private func configure(_ descriptor: Int32) {
        func set(_ level: Int32, _ option: Int32, _ value: Int32) {
            var value = value
            _ = unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        let tcp = Int32(IPPROTO_TCP)
        set(tcp, TCP_NODELAY, 1)
        set(tcp, spillway_tcp_notsent_lowat(), setup.limits.notSentLowWater)
        set(tcp, spillway_tcp_user_timeout(), Int32(clamping: setup.limits.userTimeout / 1_000_000))
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
    }

    /// Takes every reader that waits at a listener; without a free place it is turned away at once.
    mutating func accept(_ plan: Int) {
        guard case .listen(let socket) = setup.plans[plan].outlet else { return }
        while true {
            let descriptor = spillway_accept(socket)
            guard descriptor >= 0 else {
                if descriptor != -EAGAIN, descriptor != -ECONNABORTED { rest(plan, socket) }
                return
            }
            let place = (0..<connectionCount).first {
                unsafe connections[$0].plan == plan && connections[$0].state == .vacant
            }
            guard isAllowed(descriptor) else {
                setup.counters[plan].add(.refusedGuests)
                let reader = (try? Endpoint.peer(of: descriptor)).map(\.description) ?? "unknown"
                setup.log("\(setup.plans[plan].name): reader \(reader) is not allowed here (--allow)")
                close(descriptor)
                continue
            }
            guard let place, !stream.inputEnded else {
                setup.counters[plan].add(.refusedGuests)
                setup.log("\(setup.plans[plan].name): all places for readers are taken, one was turned away")
                close(descriptor)
                continue
            }
            welcome(descriptor, place)
        }
    }

    private func isAllowed(_ descriptor: Int32) -> Bool {
        if setup.allowed.isEmpty { return true }
        guard let reader = try? Endpoint.peer(of: descriptor) else { return false }
        return setup.allowed.contains { $0.contains(reader) }
    }

    /// A reader that cannot be accepted for want of descriptors or memory stays in the queue, and its listener would be
    /// reported again and again.
    private mutating func rest(_ plan: Int, _ socket: Int32) {
        _ = epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nil)
        restingListeners.append(plan)
        restsUntil = Clock.monotonic() + 200_000_000
    }

    /// Watches listeners again that could not accept.
    mutating func resumeListeners() {
        for plan in restingListeners {
            if case .listen(let socket) = setup.plans[plan].outlet { watch(socket, EventSource.word(listener: plan)) }
        }
        restingListeners = []
    }

    private mutating func welcome(_ descriptor: Int32, _ place: Int) {
        configure(descriptor)
        // Where the reader of files waits for a first guest, that guest holds memory like a destination.
        let plan = setup.plans[unsafe connections[place].plan]
        let isFirst = !setup.ready.isSet
        unsafe connections[place].holds = plan.holds && isFirst
        unsafe connections[place].descriptor = descriptor
        unsafe index.join(connections[place].slot, holds: connections[place].holds)
        if let local = try? Endpoint.local(of: descriptor), let remote = try? Endpoint.peer(of: descriptor) {
            unsafe connections[place].ticket = setup.ownTraffic.enter(local: local, remote: remote)
            setup.log("\(plan.name): reader \(remote) connected")
        }
        watch(descriptor, EventSource.word(connection: place), writable: true)
        unsafe connections[place].counters.add(.connects)
        up(place, now: Clock.monotonic())
        setup.ready.set()
    }

    mutating func handle(_ events: UInt32, connection place: Int) {
        let destination = unsafe connections + place
        guard unsafe destination.pointee.descriptor >= 0 else { return }
        if unsafe destination.pointee.state == .connecting {
            var status: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            _ = unsafe getsockopt(destination.pointee.descriptor, SOL_SOCKET, SO_ERROR, &status, &length)
            let now = Clock.monotonic()
            guard status == 0, events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) == 0 else {
                let address = unsafe setup.plans[destination.pointee.plan].address
                return retry(place, now: now, because: SystemError("connect", address, code: status))
            }
            guard events & EPOLLOUT.rawValue != 0 else { return }
            let plan = unsafe setup.plans[destination.pointee.plan]
            setup.log("\(plan.name): connected to \(plan.address)")
            unsafe destination.pointee.counters.add(.connects)
            if unsafe destination.pointee.wasUp { unsafe destination.pointee.counters.add(.reconnects) }
            // On with the rest of this event: a collector may have greeted already.
            up(place, now: now)
        }
        if events & EPOLLOUT.rawValue != 0 { unsafe destination.pointee.isWritable = true }
        if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { unsafe destination.pointee.isBroken = true }
        if events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 {
            if unsafe destination.pointee.isGuest { listen(place) } else { hear(place) }
        }
        if unsafe !talks[place].outgoing.isEmpty && destination.pointee.isWritable { flushTalk(place) }
    }

    private mutating func up(_ place: Int, now: UInt64) {
        unsafe connections[place].state = .up
        unsafe connections[place].isWritable = true
        unsafe connections[place].wasUp = true
        if unsafe !connections[place].wasRefused { unsafe connections[place].lastProgress = now }
        unsafe connections[place].statisticsAt = now &+ setup.limits.statisticsInterval
        beginGreeting(place, now: now)
    }

    /// Plain readers have nothing to say; what they send is thrown away, so that closing does not reset the connection.
    /// Only a little of it at a time: one that talks without end must not keep the others waiting.
    mutating func listen(_ place: Int) {
        var buffer = InlineArray<1024, UInt8>(repeating: 0)
        for _ in 0..<8 {
            var span = buffer.mutableSpan
            let descriptor = unsafe connections[place].descriptor
            let count = unsafe span.withUnsafeMutableBytes {
                unsafe spillway_receive(descriptor, $0.baseAddress!, 1024)
            }
            if count > 0 { continue }
            if count == 0, unsafe connections[place].state == .closing { unsafe connections[place].state = .finished }
            // A reader may shut down its sending side and read on (nc -N does); only an error ends the connection.
            if count < 0, count != -Int(EAGAIN) { unsafe connections[place].isBroken = true }
            return
        }
        // There may be more, and an event comes only once; setting the watch anew brings it again.
        watch(unsafe connections[place].descriptor, EventSource.word(connection: place), writable: true, anew: true)
    }

    /// Ends a connection attempt or a broken connection, and sets when the next attempt is due.
    mutating func retry(_ place: Int, now: UInt64, because error: SystemError?) {
        let destination = unsafe connections + place
        let plan = unsafe setup.plans[destination.pointee.plan]
        // Where oldest are not lost, only somebody without progress has had a segment taken away.
        let cause: Counter = holdsBack ? .droppedUnreachable : .droppedEvicted
        // A collector closes when it was told that there is nothing more.
        let isOver = unsafe destination.pointee.isEnded && destination.pointee.inFlight.isEmpty
        unsafe destination.pointee.takeBack(&index, resends: !destination.pointee.isGuest, orphans: cause)
        closeSocket(place)
        if unsafe destination.pointee.isGuest { return dismiss(place) }
        talks[place] = Talk()
        let first = unsafe destination.pointee.pause == 0
        var pause =
            unsafe first
            ? setup.limits.retryFirst : min(destination.pointee.pause &* 2, setup.limits.retryLongest)
        if unsafe destination.pointee.isRefused { pause = setup.limits.retryLongest }
        if unsafe destination.pointee.isRefused { unsafe destination.pointee.wasRefused = true }
        unsafe destination.pointee.isRefused = false
        unsafe destination.pointee.pause = pause
        // Jitter, so that many sensors do not come back to a collector in the same moment.
        unsafe destination.pointee.retryAt = now &+ pause / 2 &+ UInt64.random(in: 0...pause / 2)
        unsafe destination.pointee.state = .waiting
        if first, !isOver { setup.log("\(plan.name): \(error.map(\.description) ?? "connection lost"), trying again") }
    }

    /// A reader of a listener is gone: its place is free, and nothing is owed to it any more.
    mutating func dismiss(_ place: Int) {
        let destination = unsafe connections + place
        let lost = unsafe giveUpUnsent(destination.pointee.slot)
        _ = unsafe index.leave(destination.pointee.slot)
        unsafe destination.pointee.counters.add(.droppedLeft, lost)
        unsafe destination.pointee.unsentPackets = 0
        unsafe destination.pointee.ages.startAnew()
        unsafe destination.pointee.state = .vacant
    }

    mutating func closeSocket(_ place: Int) {
        let destination = unsafe connections + place
        if unsafe destination.pointee.descriptor >= 0 { close(unsafe destination.pointee.descriptor) }
        unsafe destination.pointee.descriptor = -1
        if let ticket = unsafe destination.pointee.ticket { setup.ownTraffic.leave(ticket) }
        unsafe destination.pointee.ticket = nil
    }
}
