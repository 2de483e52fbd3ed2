internal import Glibc
internal import Machine
internal import Sending

/// A connection in the hands of a thread that may wait: it writes a response and keeps to timeouts and limits.
final class LentWriter {
    /// What the loop knows about the request.
    struct Order: Sendable {
        var descriptor: Int32
        var isHead: Bool
        var isChunked: Bool
        var keepsAlive: Bool
        var date: [UInt8]
    }

    private let order: Order
    private let shared: ServeShared
    private let client: Client
    private var status = Status.ok
    private var sentBytes: UInt64 = 0
    private var isBroken = false
    private var isStream = false
    private var buffer: [UInt8] = []
    static let bufferBytes = 256 << 10

    init(_ order: Order, _ shared: ServeShared, _ client: Client) {
        self.order = order
        self.shared = shared
        self.client = client
    }

    /// How the connection was left.
    var result: LentResult {
        LentResult(
            status: status.rawValue, bytes: sentBytes,
            keepsAlive: order.keepsAlive && !isBroken && (!isStream || order.isChunked))
    }

    /// Whether nobody reads any more.
    var isOver: Bool { isBroken || shared.kill.isSet }

    // ---- responses -----------------------------------------------------------------------------------------------

    /// A whole response.
    func whole(_ status: Status = .ok, type: String, extra: String = "", _ content: [UInt8]) {
        var out = head(status, "Content-Type: \(type)\r\n\(extra)Content-Length: \(content.count)\r\n")
        if !order.isHead { out += content }
        push(out)
    }

    /// A response that only says what is wrong.
    func fail(_ status: Status, _ text: String? = nil) {
        whole(status, type: "text/plain; charset=utf-8", Array("\(text ?? "\(status.reason)")\n".utf8))
    }

    /// Begins a response whose length nobody knows yet. With HEAD nothing follows.
    func beginStream(type: String, extra: String) -> Bool {
        isStream = true
        push(
            head(
                .ok,
                "Content-Type: \(type)\r\n\(extra)" + (order.isChunked ? "Transfer-Encoding: chunked\r\n" : "")))
        return !order.isHead && !isBroken
    }

    /// Adds to the stream.
    func add(_ bytes: UnsafeRawBufferPointer) {
        unsafe buffer.append(contentsOf: bytes)
        if buffer.count >= Self.bufferBytes { flush() }
    }

    /// Adds a range of a file to the stream, without copying it.
    func add(_ file: OpenFile, _ range: Range<UInt64>) {
        flush()
        guard !range.isEmpty, !isOver else { return }
        if order.isChunked { push(chunkHead(range.upperBound - range.lowerBound)) }
        send(file, range)
        if order.isChunked { push(Array("\r\n".utf8)) }
    }

    /// Ends the stream; an incomplete one is not ended as if it were whole.
    func endStream(isComplete: Bool = true) {
        flush()
        if order.isChunked, isComplete { push(Array("0\r\n\r\n".utf8)) }
        if !isComplete { isBroken = true }
    }

    private func head(_ status: Status, _ fields: String) -> [UInt8] {
        self.status = status
        var out: [UInt8] = []
        out.append("HTTP/1.1 \(status.rawValue) \(status.reason)\r\nServer: spillway\r\nDate: ")
        out += order.date
        out.append("\r\n\(fields)")
        if !order.keepsAlive { out.append("Connection: close\r\n") }
        out.append("\r\n")
        return out
    }

    private func chunkHead(_ count: UInt64) -> [UInt8] {
        var out: [UInt8] = []
        out.append(hexadecimal: count)
        out.append("\r\n")
        return out
    }

    private func flush() {
        guard !buffer.isEmpty else { return }
        if order.isChunked {
            push(chunkHead(UInt64(buffer.count)))
            buffer.append("\r\n")
        }
        push(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    // ---- sending -------------------------------------------------------------------------------------------------

    private func push(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count, !isOver {
            let most = min(bytes.count - sent, allowance(1 << 18))
            let count = unsafe bytes.withUnsafeBytes {
                unsafe SmallPayload.send($0.baseAddress! + sent, byteCount: most, to: order.descriptor, more: false)
            }
            if count > 0 {
                sent += count
                charge(count)
            } else if count == -Int(EAGAIN) {
                waitUntilWritable()
            } else {
                isBroken = true
            }
        }
    }

    private func send(_ file: OpenFile, _ range: Range<UInt64>) {
        guard let tools = shared.borrowTools() else {
            isBroken = true
            return
        }
        defer { shared.giveBack(tools) }
        var transfer = FileTransfer(
            descriptor: file.descriptor, start: range.lowerBound, end: range.upperBound, ticket: 0)
        defer { transfer.finish(tools: tools) }
        while !isOver {
            let before = transfer.position
            let outcome = transfer.send(
                to: order.descriptor, limit: UInt64(allowance(1 << 20)), now: Clock.monotonic(), tools: tools)
            charge(Int(transfer.position - before))
            switch outcome {
            case .progressed, .loading: break
            case .finished:
                shared.counters.add(.zeroCopyBytes, range.upperBound - range.lowerBound)
                return
            case .blocked: waitUntilWritable()
            case .shrunk, .failed: isBroken = true
            }
        }
    }

    /// How many bytes may be sent now; waits until it is at least one.
    private func allowance(_ most: Int) -> Int {
        var limit = most
        for bucket in [shared.totalBucket, client.bucket] {
            guard let bucket else { continue }
            while true {
                let now = Clock.monotonic()
                let (bytes, retryAt) = bucket.allowance(now: now)
                if bytes > 0 || isOver {
                    limit = min(limit, max(1, Int(bytes)))
                    break
                }
                Clock.sleep(nanoseconds: min(max(retryAt, now + 1_000_000) - now, 100_000_000))
            }
        }
        return limit
    }

    private func charge(_ count: Int) {
        sentBytes += UInt64(count)
        shared.counters.add(.bytes, UInt64(count))
        let now = Clock.monotonic()
        shared.totalBucket?.charge(UInt64(count), now: now)
        client.bucket?.charge(UInt64(count), now: now)
    }

    private func waitUntilWritable() {
        var entry = pollfd(fd: order.descriptor, events: Int16(POLLOUT), revents: 0)
        let deadline = Clock.monotonic() &+ shared.options.sendTimeout
        while !shared.kill.isSet {
            let now = Clock.monotonic()
            guard now < deadline else {
                shared.counters.add(.timeouts)
                isBroken = true
                return
            }
            if unsafe poll(&entry, 1, Int32(min((deadline - now) / 1_000_000 + 1, 200))) > 0 {
                if entry.revents & Int16(POLLERR | POLLHUP) != 0 { isBroken = true }
                return
            }
        }
    }
}
