internal import CMachine
internal import Glibc
public import Machine

/// Answers `GET /metrics` on a thread of its own, one request at a time, each within a second: a scraper that hangs can
/// hold up other scrapers, never the relay.
public struct MetricsServer: Sendable {
    private let socket: Int32
    /// Where it listens, with the port the kernel chose if 0 was asked for.
    public let endpoint: Endpoint

    /// Listens.
    public init(_ endpoint: Endpoint) throws(SystemError) {
        (socket, self.endpoint) = try Listening.open(endpoint, backlog: 16)
    }

    /// Serves until the process ends.
    ///
    /// - Parameter render: makes the text, called on the server's thread.
    public func start(render: @escaping @Sendable (MetricsText.Form) -> String) throws(SystemError) {
        let socket = socket
        _ = try PinnedThread(name: "metrics", cpus: nil) {
            while true {
                var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&waiting, 1, -1)
                let connection = spillway_accept(socket)
                if connection < 0 {
                    // Without a free descriptor the connection stays in the queue, and poll would return at once.
                    if connection != -EAGAIN { Clock.sleep(nanoseconds: 100_000_000) }
                    continue
                }
                Self.answer(connection, render)
                close(connection)
            }
        }
    }

    private static func answer(_ connection: Int32, _ render: (MetricsText.Form) -> String) {
        let deadline = Clock.monotonic() + 1_000_000_000
        guard let head = readHead(connection, deadline) else { return }
        let line = head.split(separator: "\r\n", maxSplits: 1).first ?? ""
        let words = line.split(separator: " ")
        let accepts = head.lowercased().contains("application/openmetrics-text")
        let form = accepts ? MetricsText.Form.openMetrics : .prometheus
        var response: String
        if words.count < 2 || (words[0] != "GET" && words[0] != "HEAD") {
            response = page("405 Method Not Allowed", "text/plain", "only GET and HEAD\n", isHead: false)
        } else if words[1] == "/metrics" {
            response = page("200 OK", form.contentType, render(form), isHead: words[0] == "HEAD")
        } else {
            response = page("404 Not Found", "text/plain", "see /metrics\n", isHead: words[0] == "HEAD")
        }
        response.withUTF8 { bytes in unsafe write(connection, bytes, deadline) }
        shutdown(connection, Int32(SHUT_WR))
    }

    private static func page(_ status: String, _ type: String, _ body: String, isHead: Bool) -> String {
        let head =
            "HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n"
        return isHead ? head : head + body
    }

    /// The request's head, at most 4 KiB of it; nil if it does not come in time.
    private static func readHead(_ connection: Int32, _ deadline: UInt64) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var used = 0
        while used < bytes.count, wait(connection, Int16(POLLIN), deadline) {
            let room = bytes.count - used
            let count = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe spillway_receive(connection, buffer.baseAddress! + used, room)
            }
            if count == 0 || (count < 0 && count != -Int(EAGAIN)) { return nil }
            used += max(count, 0)
            let text = String(decoding: bytes.prefix(used), as: UTF8.self)
            if text.contains("\r\n\r\n") || text.contains("\n\n") { return text }
        }
        return nil
    }

    private static func write(_ connection: Int32, _ bytes: UnsafeBufferPointer<UInt8>, _ deadline: UInt64) {
        var sent = 0
        while sent < bytes.count, wait(connection, Int16(POLLOUT), deadline) {
            var piece = unsafe iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + sent), iov_len: bytes.count - sent)
            let count = unsafe spillway_send_vector(connection, &piece, 1)
            if count < 0, count != -Int(EAGAIN) { return }
            sent += max(count, 0)
        }
    }

    private static func wait(_ connection: Int32, _ events: Int16, _ deadline: UInt64) -> Bool {
        let now = Clock.monotonic()
        guard now < deadline else { return false }
        var waiting = pollfd(fd: connection, events: events, revents: 0)
        return unsafe poll(&waiting, 1, Int32((deadline - now) / 1_000_000 + 1)) > 0
    }
}
