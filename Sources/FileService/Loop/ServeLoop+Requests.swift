internal import CMachine
internal import Glibc
internal import Machine

/// From bytes to requests.
extension ServeLoop {
    /// Bodies up to this length are read and thrown away; nothing here takes one.
    static let discardedBytes: UInt64 = 1 << 20

    /// Does what a connection can do now, up to one slice of sending.
    func advance(_ connection: Connection) {
        if connection.wakesAt > now { return }
        connection.wakesAt = 0
        while true {
            switch connection.phase {
            case .head:
                guard readRequest(connection) else { return }
            case .sending:
                guard pump(connection) else { return }
            case .following:
                // A client that sends no more has gone, or might as well have: nobody else ends this stream.
                discardInput(connection)
                if connection.hasEnded || connection.isHungUp { close(connection) }
                return
            case .closing:
                discardInput(connection)
                if connection.hasEnded { close(connection) }
                return
            case .lent, .closed: return
            }
        }
    }

    /// Reads until a request is whole and begins its response; false when that needs more from the client.
    private func readRequest(_ connection: Connection) -> Bool {
        while true {
            if connection.discarding > 0, connection.start < connection.end {
                let count = min(Int(connection.discarding), connection.end - connection.start)
                connection.consume(count)
                connection.discarding -= UInt64(count)
            }
            if connection.discarding == 0, connection.start < connection.end {
                switch takeHead(connection) {
                case .answered: return true
                case .needsMore: break
                }
            }
            guard receive(connection) else { return false }
        }
    }

    private enum HeadResult { case answered, needsMore }

    private func takeHead(_ connection: Connection) -> HeadResult {
        // Blank lines before a request are allowed for (RFC 9112, section 2.2), but not without end.
        guard connection.skipBlankLines() else {
            fail(connection, .badRequest, closes: true)
            return .answered
        }
        guard connection.hasBlankLine() else {
            guard connection.end - connection.start < Connection.headBytes else {
                fail(connection, .headerFieldsTooLarge, closes: true)
                return .answered
            }
            return .needsMore
        }
        switch unsafe head.parse(connection.pending) {
        case .complete: break
        case .incomplete:
            // A blank line is the end of every head, so that this one is none.
            fail(connection, .badRequest, closes: true)
            return .answered
        case .tooManyFields:
            fail(connection, .headerFieldsTooLarge, closes: true)
            return .answered
        case .malformed:
            shared.counters.add(.malformed)
            fail(connection, .badRequest, closes: true)
            return .answered
        }
        connection.began = now
        connection.skipped = 0
        connection.keepsAlive = head.keepsAlive && !isDraining
        connection.method = head.isGet ? "GET" : head.isHead ? "HEAD" : head.isOptions ? "OPTIONS" : "-"
        if shared.log != nil { connection.target = unsafe String(decoding: head.target, as: UTF8.self) }
        let isDirect = checkFraming(connection)
        if isDirect { respond(to: connection) }
        connection.consume(min(head.byteCount, connection.end - connection.start))
        return .answered
    }

    /// What every request must be before anybody asks what it wants. All that two servers in a row could understand in two
    /// ways is refused, and ends the connection (RFC 9112, section 11.2).
    private func checkFraming(_ connection: Connection) -> Bool {
        guard head.version == 11 || head.version == 10 else {
            fail(connection, head.version > 19 ? .versionNotSupported : .badRequest, closes: true)
            return false
        }
        guard !head.isRepeated(.host), head.version == 10 || head.has(.host) else {
            shared.counters.add(.malformed)
            fail(connection, .badRequest, closes: true)
            return false
        }
        guard !head.hasTransferEncoding else {
            fail(connection, .notImplemented, closes: true)
            return false
        }
        guard head.contentLength <= Self.discardedBytes else {
            fail(connection, .contentTooLarge, closes: true)
            return false
        }
        connection.discarding = head.contentLength
        return true
    }

    /// Receives what is there; false if nothing is.
    private func receive(_ connection: Connection) -> Bool {
        guard connection.isReadable else { return false }
        if connection.hasEnded {
            close(connection)
            return false
        }
        connection.compact()
        let room = Connection.headBytes - connection.end
        let wasIdle = connection.end == 0 && connection.discarding == 0
        let count = unsafe spillway_receive(connection.descriptor, connection.input + connection.end, room)
        if count > 0 {
            connection.end += count
            // Patience for a head runs from its first byte, not from its latest.
            if wasIdle { connection.deadline = now &+ shared.options.headTimeout }
            // Fewer bytes than there was room for are all there are, but for the end, which is not told twice.
            if count < room, !connection.isHungUp { connection.isReadable = false }
            return true
        }
        if count == -Int(EAGAIN) {
            connection.isReadable = false
        } else {
            close(connection, isBroken: count < 0)
        }
        return false
    }

    /// Throws away what a client sends when nothing of it is wanted any more.
    private func discardInput(_ connection: Connection) {
        for _ in 0..<8 where connection.isReadable {
            let count = unsafe spillway_receive(connection.descriptor, scratch, 4096)
            if count > 0 { continue }
            connection.isReadable = false
            if count != -Int(EAGAIN) { connection.hasEnded = true }
        }
        if connection.isReadable { enqueue(connection) }
    }
}
