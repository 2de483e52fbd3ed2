internal import Fragments
internal import Glibc
internal import Machine
internal import Sending

/// Some pieces in a row on their way to a peer.
struct SendRun {
    let number: UInt32
    let file: SourceFile
    let pieces: Range<UInt64>
    var transfer: FileTransfer
    /// Bytes that were promised and are not in the file any more: zeros go in their place, and the file is withdrawn.
    var padding: UInt64 = 0

    /// Pieces in a run: few enough that something else can be said soon.
    static var greatest: UInt64 { 4 }
}

extension PeerLink {
    /// Bytes sent to one peer before it is another one's turn.
    private static var turnBytes: UInt64 { 4 << 20 }

    /// Sends until the socket is full, there is nothing to send, or it is another peer's turn.
    func send() throws(ProtocolProblem) {
        let now = Clock.monotonic()
        var left = Self.turnBytes
        while left > 0 {
            guard try buffer.flush(descriptor, more: run != nil) else {
                isBlocked = true
                return
            }
            if run == nil {
                for message in orders { buffer.say(message) }
                orders = []
                announce()
                speak()
                if run == nil, buffer.waiting == 0 { return }
                continue
            }
            let allowed = min(left, 2 << 20, limit.allowance(now: now), loop.limit.allowance(now: now))
            guard allowed > 0 else {
                pausedUntil = now + max(limit.delay, loop.limit.delay)
                return
            }
            guard let sent = try sendSome(allowed, now) else { return }
            left -= min(left, sent)
        }
    }

    /// Sends some of the run in hand: how many bytes, or nil if it has to wait.
    private func sendSome(_ allowed: UInt64, _ now: UInt64) throws(ProtocolProblem) -> UInt64? {
        guard var current = run else { return 0 }
        let before = current.transfer.position
        let outcome: SendOutcome =
            current.padding > 0
            ? try pad(&current) : current.transfer.send(to: descriptor, limit: allowed, now: now, tools: loop.tools)
        let count = current.transfer.position - before
        sent(count)
        deliveries[current.number]?.sentBytes += count
        limit.use(count)
        loop.limit.use(count)
        run = current
        switch outcome {
        case .progressed: return count
        case .blocked: isBlocked = true
        case .loading: isLoading = true
        case .finished:
            run = nil
            loop.retire(current)
            return count
        case .shrunk:
            current.file.fail("it became shorter while it was being sent")
            run?.padding = current.transfer.remaining
            return count
        case .failed(let code):
            guard code != EIO else {
                current.file.fail("cannot read it: \(reason(code))")
                run?.padding = current.transfer.remaining
                return count
            }
            throw .broken("the connection broke: \(reason(code))")
        }
        return nil
    }

    /// Sends zeros where bytes were promised that are not there.
    private func pad(_ run: inout SendRun) throws(ProtocolProblem) -> SendOutcome {
        let zeros = [UInt8](repeating: 0, count: Int(min(run.padding, 1 << 16)))
        let count = unsafe zeros.withUnsafeBytes {
            unsafe SmallPayload.send($0.baseAddress!, byteCount: $0.count, to: descriptor, more: false)
        }
        if count == -Int(EAGAIN) { return .blocked }
        guard count > 0 else { return .failed(Int32(-count)) }
        run.padding -= UInt64(count)
        return run.padding == 0 ? .finished : .progressed
    }

    /// Puts what there is to say about files into the buffer, and begins the next run.
    private func speak() {
        for number in order {
            guard let delivery = deliveries[number] else { continue }
            if let failure = delivery.file.failure {
                buffer.say(.withdrawn(file: number, failure))
                withdrawn(number, failure)
                continue
            }
            if !delivery.checkClaim() { disproved(delivery) }
            tellHashes(delivery, number)
            let wanted = waitsForRelay ? delivery.damaged : delivery.missing
            guard delivery.isAnswered, let first = wanted.first else { continue }
            // Nothing may be said behind the head of DATA but the bytes themselves.
            return begin(first.range, delivery, number)
        }
    }

    /// Hashes are told some at a time, the root when all are.
    private func tellHashes(_ delivery: Delivery, _ number: UInt32) {
        let file = delivery.file
        if file.announcement.kind == .directory { return }
        let known = file.hashedCount
        while delivery.hashesTold < known, known - delivery.hashesTold >= 4 || known == file.count {
            let end = min(known, delivery.hashesTold + UInt64(Message.hashesAtOnce))
            let range = delivery.hashesTold..<end
            buffer.say(.hashes(file: number, first: range.lowerBound, file.hashes(range)))
            delivery.hashesTold = end
        }
        // The root comes last, after one more look at the file: by it the peer gives the file its name.
        guard !delivery.isRootTold, delivery.isAnswered, delivery.hashesTold == file.count, run?.number != number,
            waitsForRelay || delivery.missing.isEmpty
        else { return }
        file.check(delivery.descriptor)
        if file.failure == nil, let root = file.root {
            buffer.say(.root(file: number, root))
            delivery.isRootTold = true
        }
    }

    private func begin(_ range: Range<UInt64>, _ delivery: Delivery, _ number: UInt32) {
        let pieces = range.lowerBound..<min(range.upperBound, range.lowerBound + SendRun.greatest)
        _ = try? delivery.missing.erase(pieces)
        _ = try? delivery.damaged.erase(pieces)
        let bytes = Piece.bytes(pieces, ofSize: delivery.file.size)
        buffer.say(Message.dataHeader(file: number, offset: bytes.lowerBound, byteCount: UInt64(bytes.count)))
        run = loop.makeRun(number, delivery, pieces, bytes)
    }
}
