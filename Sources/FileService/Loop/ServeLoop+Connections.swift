internal import CMachine
internal import Glibc
internal import Machine
internal import Sending
internal import Synchronization

/// Connections that come and go, and patience that ends.
extension ServeLoop {
    func accept(_ number: Int) {
        // A few at a time, so that other loops have a share.
        for _ in 0..<16 {
            let descriptor = spillway_accept(shared.listeners[number])
            guard descriptor >= 0 else {
                // Without a free descriptor the connection stays in the queue, and would be reported again and again.
                if descriptor == -EMFILE || descriptor == -ENFILE { shared.rest() }
                return
            }
            guard let peer = try? Endpoint.peer(of: descriptor), let client = shared.clients.enter(peer) else {
                shared.counters.add(.refusedConnections)
                refuse(descriptor)
                continue
            }
            shared.counters.add(.connections)
            set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            set(descriptor, Int32(IPPROTO_TCP), spillway_tcp_notsent_lowat(), Self.unsentBytes)
            let place = vacant.popLast() ?? connections.count
            if place == connections.count { connections.append(nil) }
            let connection = Connection(descriptor, peer, client, place: place)
            connection.deadline = now &+ shared.options.headTimeout
            connections[place] = connection
            watch(descriptor, .connection(place))
            enqueue(connection)
        }
    }

    /// How much a socket holds that is not yet on its way. It stays in memory, so that it is little where readers may be slow.
    private static let unsentBytes: Int32 = 64 << 10

    /// The same for a reader that is fast: enough for the loop to be busy elsewhere for a while.
    private static let unsentBytesOfFast: Int32 = 1 << 20

    /// Gives a reader a larger socket once it has taken 2 MiB of a response within 400 ms.
    func notePace(_ connection: Connection) {
        guard !connection.isFast, connection.sentBytes >= 2 << 20, now &- connection.began < 400_000_000 else { return }
        connection.isFast = true
        set(
            connection.descriptor, Int32(IPPROTO_TCP), spillway_tcp_notsent_lowat(), Self.unsentBytesOfFast)
    }

    private func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        _ = unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Says that there are too many, as far as the socket takes it at once.
    private func refuse(_ descriptor: Int32) {
        let text =
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        _ = unsafe Glibc.send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        Glibc.close(descriptor)
    }

    /// Ends a connection.
    ///
    /// - Parameter isReset: the peer must not take what it got for all of it: the connection is reset, not shut down.
    func close(_ connection: Connection, isBroken: Bool = false, isReset: Bool = false) {
        guard connection.phase != .closed, connection.phase != .lent else { return }
        if connection.phase == .sending || connection.phase == .following {
            if isBroken || isReset { shared.counters.add(.broken) }
            log(connection)
        }
        endBody(connection)
        connection.phase = .closed
        if isReset {
            var linger = linger(l_onoff: 1, l_linger: 0)
            _ = unsafe setsockopt(
                connection.descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        }
        Glibc.close(connection.descriptor)
        connections[connection.place] = nil
        vacant.append(connection.place)
        shared.clients.leave(connection.client)
    }

    /// Shuts down the sending side and waits a moment for the peer to close.
    func shutDown(_ connection: Connection) {
        connection.phase = .closing
        shutdown(connection.descriptor, Int32(SHUT_WR))
        connection.deadline = now &+ 2_000_000_000
        if connection.hasEnded { close(connection) }
    }

    /// Everything that goes by the clock, some twenty times a second; true when the loop is to end.
    func tick() -> Bool {
        let second = Clock.realtime() / 1_000_000_000
        if second != date.second {
            date = (second, Array(HTTPDate.text(Int(second)).utf8))
            shared.log?.flush()
        }
        for connection in connections {
            guard let connection, connection.phase != .lent else { continue }
            if connection.wakesAt != 0, connection.wakesAt <= now { enqueue(connection) }
            if now >= connection.deadline { expire(connection) }
        }
        release()
        recent.forget(now: now)
        return drain()
    }

    private func expire(_ connection: Connection) {
        switch connection.phase {
        case .head where connection.start == connection.end && connection.discarding == 0 && connection.began != 0:
            // Idle between requests, which is no fault.
            close(connection)
        case .head:
            shared.counters.add(.timeouts)
            guard connection.start < connection.end else { return close(connection) }
            fail(connection, .requestTimeout, closes: true)
            enqueue(connection)
        case .sending:
            shared.counters.add(.timeouts)
            close(connection, isReset: true)
        case .following: connection.deadline = .max
        case .closing: close(connection)
        case .lent, .closed: break
        }
    }

    /// Lets go of the memory of transfers that ended a moment ago; what a socket held then, it holds no more.
    private func release() {
        for (ticket, gone) in departing where !gone.isFinished && gone.due <= now {
            var gone = gone
            gone.transfer.limits.releases = gone.use.isAlone
            gone.transfer.finish(tools: tools)
            gone.isFinished = true
            departing[ticket] = gone
            if !gone.transfer.isBusy { forget(gone) }
        }
    }

    /// A transfer of which nothing is left to do.
    func forget(_ gone: Departing) {
        departing[gone.transfer.ticket] = nil
        shared.files.leave(gone.use)
    }

    private func drain() -> Bool {
        guard shared.stop.isSet else { return false }
        if !isDraining {
            isDraining = true
            for listener in shared.listeners { _ = epoll_ctl(epoll, EPOLL_CTL_DEL, listener, nil) }
            shared.drainBegan(now)
        }
        for connection in connections {
            guard let connection else { continue }
            if connection.phase == .head, connection.start == connection.end { close(connection) }
            if connection.phase == .following { endFollowing(connection) }
        }
        return connections.allSatisfy { $0 == nil } || now >= shared.drainDeadline
    }
}
