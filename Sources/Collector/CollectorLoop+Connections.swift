internal import CMachine
internal import Glibc
internal import Machine
internal import Transfer

extension CollectorLoop {
    /// Takes new connections.
    func accept(from listener: Int32) {
        for _ in 0..<64 {
            let socket = spillway_accept(listener)
            // Without a free descriptor the peer waits in the queue; the loop must not spin meanwhile.
            guard socket >= 0 else {
                if socket != -EAGAIN, socket != -EINTR { Clock.sleep(nanoseconds: 10_000_000) }
                return
            }
            let peer: Endpoint
            do throws(SystemError) { peer = try Endpoint.peer(of: socket) } catch {
                close(socket)
                continue
            }
            counts[.connections] += 1
            take(socket, peer)
        }
    }

    private func take(_ socket: Int32, _ peer: Endpoint) {
        guard options.allow.isEmpty || options.allow.contains(where: { $0.contains(peer) }) else {
            counts[.refusedNotAllowed] += 1
            log("\(peer): refused: not in --allow")
            close(socket)
            return
        }
        serial += 1
        let connection = Connection(socket: socket, peer: peer, serial: serial)
        connections[socket] = connection
        var yes: Int32 = 1
        _ = unsafe setsockopt(
            socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        let unproven = connections.values.count { !$0.isProven && $0.stage != .ending }
        connection.watched = UInt32(EPOLLIN.rawValue)
        watch(socket, connection.watched)
        greet(connection)
        if unproven > TransferLimit.unprovenConnections || connections.count > CollectorLimit.connections {
            refuse(connection, Refusal(.busy, .refusedBusy, "too many connections"))
        }
        finishTurn(connection)
    }

    /// Something happened on a connection.
    func handle(_ connection: Connection, _ events: UInt32) {
        if events & UInt32(EPOLLIN.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 {
            read(connection)
        } else {
            finishTurn(connection)
        }
    }

    /// Reads what is there, up to a turn's worth, and goes over it.
    private func read(_ connection: Connection) {
        if connection.stage == .ending { return drain(connection) }
        if isPaused(connection) { return finishTurn(connection) }
        let old = connection.rest.count
        makeRoom(old + (connection.isProven ? 1 << 18 : TransferLimit.bytesBeforeProof))
        let limit =
            connection.isProven
            ? unsafe turn.count - old : TransferLimit.bytesBeforeProof + 1 - Int(connection.received)
        let count = unsafe spillway_receive(connection.socket, turn.baseAddress! + old, max(1, limit))
        if count == -Int(EAGAIN) { return finishTurn(connection) }
        guard count > 0 else {
            log(
                "\(connection.label): \(count == 0 ? "closed by the peer" : "broken: \(SystemError("", code: -Int32(count)).reason)")"
            )
            return remove(connection)
        }
        connection.lastHeard = Clock.monotonic()
        connection.received += UInt64(count)
        let wasProven = connection.isProven
        if !wasProven, connection.received > UInt64(TransferLimit.bytesBeforeProof) {
            // What a sensor sends right behind its SESSION is no offence; what comes without one is.
            advance(connection, more: count)
            if !connection.isProven, connection.stage != .ending {
                refuse(connection, Refusal(.limit, .refusedLimit, "too many bytes before SESSION"))
                finishTurn(connection)
            }
            return
        }
        advance(connection, more: count)
    }

    /// Goes over what is left of the last turn and `more` bytes that stand behind its place in the turn's buffer.
    func advance(_ connection: Connection, more: Int = 0) {
        let old = connection.rest.count
        if old + more == 0 || connection.isClosed { return finishTurn(connection) }
        makeRoom(old + more)
        unsafe connection.rest.withUnsafeBytes { unsafe turn.copyMemory(from: $0) }
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: turn[..<(old + more)])
        do throws(Refusal) {
            let done: Int
            switch try unsafe process(connection, bytes) {
            case .consumed(let count): done = count
            case .stuck(let count, let error):
                done = count
                stopForStorage("\(error)")
            }
            unsafe keep(connection, UnsafeRawBufferPointer(rebasing: bytes[done...]))
            let waiting = connections.values.reduce(0) { $0 + $1.rest.count }
            if waiting > CollectorLimit.waitingBytes {
                throw Refusal(.busy, .refusedMemory, "too many unfinished batches wait")
            }
        } catch {
            refuse(connection, error)
        }
        finishTurn(connection)
    }

    private func keep(_ connection: Connection, _ bytes: UnsafeRawBufferPointer) {
        if unsafe bytes.isEmpty {
            connection.rest = []
        } else {
            connection.rest = unsafe Array(bytes)
        }
    }

    /// Makes the turn's buffer so large.
    private func makeRoom(_ count: Int) {
        guard unsafe count > turn.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: roundUp(count, 1 << 21), alignment: 64)
        unsafe larger.copyMemory(from: UnsafeRawBufferPointer(turn))
        unsafe turn.deallocate()
        unsafe turn = larger
    }

    /// Whether nothing may be read from it now.
    func isPaused(_ connection: Connection) -> Bool {
        connection.stage == .answering || connection.waiting > CollectorLimit.outputBytes
            || (storageProblem != nil && connection.isProven)
    }

    /// Says what can be said, and watches for what can come next.
    func finishTurn(_ connection: Connection) {
        if connection.isClosed { return }
        let before = connection.waiting
        guard connection.flush() else { return remove(connection) }
        if connection.stage == .streaming, connection.waiting == 0 {
            connection.sayAcknowledgements()
            guard connection.flush() else { return remove(connection) }
        }
        if connection.waiting < before { connection.lastTaken = Clock.monotonic() }
        if connection.stage == .ending, connection.waiting == 0, !connection.isShut {
            // The peer must be able to read END; closing with bytes unread would reset the connection.
            connection.isShut = true
            shutdown(connection.socket, Int32(SHUT_WR))
        }
        var wanted: UInt32 = 0
        if connection.stage == .ending || !isPaused(connection) { wanted |= UInt32(EPOLLIN.rawValue) }
        if connection.waiting > 0 { wanted |= UInt32(EPOLLOUT.rawValue) }
        if wanted != connection.watched {
            connection.watched = wanted
            watch(connection.socket, wanted, change: true)
        }
    }

    /// Ends a connection for a reason that the peer is told.
    func refuse(_ connection: Connection, _ refusal: Refusal) {
        counts[refusal.counter] += 1
        log("\(connection.label): ended: \(refusal.text)")
        end(connection, End(refusal.code, refusal.text))
    }

    func end(_ connection: Connection, _ end: End) {
        if connection.stage == .streaming { connection.sayAcknowledgements(atOnce: true) }
        connection.stage = .ending
        connection.rest = []
        connection.say(end.encoded())
        connection.lastHeard = Clock.monotonic()
        finishTurn(connection)
    }

    /// Throws away what still comes, so that END is read.
    private func drain(_ connection: Connection) {
        let count = unsafe spillway_receive(connection.socket, turn.baseAddress!, turn.count)
        if count == -Int(EAGAIN) { return finishTurn(connection) }
        if count <= 0 { remove(connection) }
    }

    func remove(_ connection: Connection) {
        if connection.isClosed { return }
        connection.isClosed = true
        connections[connection.socket] = nil
        close(connection.socket)
        guard let sensor = connection.sensor else { return }
        sensor.connections -= 1
        if sensor.isForgettable { sensors[sensor.name] = nil }
    }
}
