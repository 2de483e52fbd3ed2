internal import Glibc
internal import Machine
internal import Sending

/// Responses on their way.
extension ServeLoop {
    /// Bytes of one connection in one turn.
    static let slice: UInt64 = 1 << 20

    /// What stops a connection from sending on.
    private enum Stop { case socket, turn, disk, rate, gone }

    /// Sends up to a slice; true when the connection can do something else now, false when it must wait for its turn, the
    /// socket, the disk or a limit.
    func pump(_ connection: Connection) -> Bool {
        guard connection.isWritable else { return false }
        var left = Self.slice
        while true {
            if connection.outputSent < connection.output.count {
                guard sendOutput(connection) else { return false }
                continue
            }
            guard connection.body != nil else { return complete(connection) }
            if connection.body!.transfer == nil {
                guard nextPart(connection) else { return finishBody(connection) }
                continue
            }
            if let stop = sendFile(connection, &left) {
                if stop == .turn { enqueue(connection) }
                return false
            }
        }
    }

    private func sendOutput(_ connection: Connection) -> Bool {
        let more = connection.body.map { $0.transfer != nil || $0.next < $0.parts.count } ?? false
        let count = unsafe connection.output.withUnsafeBytes { bytes in
            unsafe SmallPayload.send(
                bytes.baseAddress! + connection.outputSent, byteCount: bytes.count - connection.outputSent,
                to: connection.descriptor, more: more)
        }
        if count > 0 {
            connection.outputSent += count
            sent(UInt64(count), connection)
            return true
        }
        if count == -Int(EAGAIN) { block(connection) } else { close(connection, isBroken: true) }
        return false
    }

    /// Begins the next part of the body; false if there is none.
    private func nextPart(_ connection: Connection) -> Bool {
        let next = connection.body!.next
        guard next < connection.body!.parts.count else { return false }
        let part = connection.body!.parts[next]
        connection.body!.next += 1
        connection.output.removeAll(keepingCapacity: true)
        connection.output += part.lead
        connection.outputSent = 0
        var transfer = FileTransfer(
            descriptor: connection.body!.file.descriptor, start: part.range.lowerBound, end: part.range.upperBound,
            ticket: nextTicket)
        transfer.limits.releases = connection.body!.use.isAlone
        transfers[nextTicket] = connection
        nextTicket &+= 1
        connection.body!.transfer = transfer
        return true
    }

    /// Sends out of the file; nil when the part is done and the connection can go on.
    private func sendFile(_ connection: Connection, _ left: inout UInt64) -> Stop? {
        guard left > 0 else { return .turn }
        let (limit, retryAt) = allowance(connection, left)
        guard limit > 0 else {
            connection.wakesAt = retryAt
            connection.deadline = now &+ shared.options.sendTimeout
            shared.counters.add(.limited)
            return .rate
        }
        connection.body!.transfer!.limits.releases = connection.body!.use.isAlone
        let before = connection.body!.transfer!.position
        let outcome = connection.body!.transfer!.send(
            to: connection.descriptor, limit: limit, now: now, tools: tools)
        let count = connection.body!.transfer!.position &- before
        if count > 0 {
            left -= min(left, count)
            shared.counters.add(.zeroCopyBytes, count)
            sent(count, connection)
            notePace(connection)
        }
        switch outcome {
        case .progressed: return left > 0 ? nil : .turn
        case .finished:
            endTransfer(connection)
            return nil
        case .blocked:
            block(connection)
            return .socket
        case .loading:
            // Waiting for the disk is not the peer's fault.
            connection.deadline = now &+ shared.options.sendTimeout
            shared.counters.add(.loadWaits)
            return .disk
        case .shrunk:
            // The peer was promised more than there is; it must see that it did not get everything.
            shared.counters.add(.shrunk)
            close(connection, isReset: true)
            return .gone
        case .failed:
            close(connection, isBroken: true)
            return .gone
        }
    }

    private func allowance(_ connection: Connection, _ most: UInt64) -> (limit: UInt64, retryAt: UInt64) {
        guard shared.totalBucket != nil || connection.client.bucket != nil else { return (most, 0) }
        var limit = most
        for bucket in [shared.totalBucket, connection.client.bucket] {
            guard let (bytes, retryAt) = bucket?.allowance(now: now) else { continue }
            if bytes == 0 { return (0, max(retryAt, now &+ 1)) }
            limit = min(limit, bytes)
        }
        return (limit, 0)
    }

    private func sent(_ count: UInt64, _ connection: Connection) {
        connection.sentBytes &+= count
        connection.deadline = now &+ shared.options.sendTimeout
        shared.counters.add(.bytes, count)
        shared.totalBucket?.charge(count, now: now)
        connection.client.bucket?.charge(count, now: now)
    }

    private func block(_ connection: Connection) {
        connection.isWritable = false
        shared.counters.add(.waits)
    }

    /// All parts are sent: the trail, then the end; a file that grows is waited for.
    private func finishBody(_ connection: Connection) -> Bool {
        if connection.body!.follow != nil { return continueFollowing(connection) }
        connection.output.removeAll(keepingCapacity: true)
        connection.output += connection.body!.trail
        connection.outputSent = 0
        endBody(connection)
        return true
    }

    /// The response is sent to its end.
    private func complete(_ connection: Connection) -> Bool {
        log(connection)
        connection.output.removeAll(keepingCapacity: true)
        connection.outputSent = 0
        guard connection.keepsAlive, !isDraining else {
            shutDown(connection)
            return connection.phase == .closing
        }
        connection.phase = .head
        connection.deadline = now &+ shared.options.idleTimeout
        // Whatever was received meanwhile, the pipeline's next request comes in the next turn, behind others' requests.
        if connection.start < connection.end || connection.isReadable {
            enqueue(connection)
            return false
        }
        return true
    }

    /// Counts a response and writes its line.
    func log(_ connection: Connection) {
        guard connection.status != 0 else { return }
        shared.counters.add(response: connection.status)
        shared.log?.add(
            AccessLog.Line(
                client: connection.peer, method: connection.method, target: connection.target,
                status: connection.status,
                bytes: connection.sentBytes, nanoseconds: Clock.monotonic() &- connection.began))
        connection.status = 0
        connection.target = ""
        // What comes next may be no request at all, and its refusal is not an answer to HEAD.
        connection.method = ""
    }

    // ---- ends ----------------------------------------------------------------------------------------------------

    /// Transfers whose memory waits to be let go of; beyond that it is tried at once.
    private static let departingMost = 512

    /// Ends the transfer of a part. What helpers still do for it, and its memory, are looked after on.
    private func endTransfer(_ connection: Connection) {
        guard let body = connection.body, var transfer = body.transfer else { return }
        connection.body!.transfer = nil
        transfers[transfer.ticket] = nil
        let waits = transfer.holdsMemory && departing.count < Self.departingMost
        if !waits {
            transfer.finish(tools: tools)
            if !transfer.isBusy { return }
        }
        // Entered once more, because the body's own entry ends with the body.
        departing[transfer.ticket] = Departing(
            transfer: transfer, file: body.file, use: shared.files.enter(body.file.identity),
            due: now &+ 1_000_000_000, isFinished: !waits)
    }

    /// Ends a body, sent or not.
    func endBody(_ connection: Connection) {
        guard let body = connection.body else { return }
        endTransfer(connection)
        unfollow(connection)
        shared.files.leave(body.use)
        connection.body = nil
    }
}
