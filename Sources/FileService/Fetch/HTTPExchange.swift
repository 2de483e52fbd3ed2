internal import CLLHTTP
internal import CMachine
internal import Glibc
internal import Machine

/// One request on a connection of its own, and the answer to it. It waits, for at most half a minute at a time.
@safe final class HTTPExchange {
    // Safe because head and chunk state are this object's own.

    private let socket: Int32
    private let head: UnsafeMutablePointer<spillway_http_head>
    private var chunks: OpaquePointer?
    private var bytes: [UInt8] = []
    /// The body that came with the head, and not yet taken.
    private var pending: ArraySlice<UInt8> = []
    /// Bytes of the body that are still to come; nil if it ends with the connection or its last chunk.
    private var remaining: UInt64?
    private var isFinished = false
    private static let patience: UInt64 = 30_000_000_000

    /// The status of the answer.
    var status: UInt16 { unsafe head.pointee.status_code }

    /// Connects, asks, and receives the head of the answer.
    ///
    /// - Parameter fields: lines of the head beside Host, each with its line break.
    init(_ address: HTTPAddress, method: String = "GET", fields: String) throws(FetchError) {
        unsafe head = .allocate(capacity: 1)
        unsafe head.initialize(to: spillway_http_head())
        do throws(FetchError) { socket = try Self.connect(address) } catch {
            unsafe head.deallocate()
            throw error
        }
        let request =
            "\(method) \(address.target) HTTP/1.1\r\nHost: \(address.authority)\r\nUser-Agent: spillway\r\n"
            + "Accept-Encoding: identity\r\nConnection: close\r\n\(fields)\r\n"
        try send(Array(request.utf8))
        try receiveHead()
    }

    deinit {
        if let chunks = unsafe chunks { unsafe spillway_http_chunks_free(chunks) }
        unsafe head.deallocate()
        close(socket)
    }

    /// The value of a field, by its name in lower case.
    func field(_ name: String) -> String? {
        for index in 0..<(unsafe head.pointee.field_count) {
            let field = unsafe spillway_http_field_at(head, index)
            if text(field.name).lowercased() == name { return text(field.value) }
        }
        return nil
    }

    private func text(_ span: spillway_http_span) -> String {
        String(decoding: bytes[Int(span.offset)..<Int(span.offset) + Int(span.length)], as: UTF8.self)
    }

    // ---- the body ------------------------------------------------------------------------------------------------

    /// The next bytes of the body; nil when all of it has come.
    func next() throws(FetchError) -> [UInt8]? {
        while !isFinished {
            var piece = [UInt8](pending)
            pending = []
            if piece.isEmpty { piece = try receive() }
            if piece.isEmpty {
                guard unsafe remaining == nil && chunks == nil else {
                    throw FetchError(.connection, "the connection broke before all had come")
                }
                isFinished = true
                return nil
            }
            if unsafe chunks != nil { piece = try payload(of: piece) }
            if let left = remaining {
                piece = [UInt8](piece.prefix(Int(clamping: left)))
                remaining = left - UInt64(piece.count)
                if remaining == 0 { isFinished = true }
            }
            if !piece.isEmpty { return piece }
        }
        return nil
    }

    /// All of a body that is not longer than this.
    func all(most: Int) throws(FetchError) -> [UInt8] {
        var out: [UInt8] = []
        while let piece = try next() {
            out += piece
            guard out.count <= most else { throw FetchError(.data, "the answer is longer than it should be") }
        }
        return out
    }

    private func payload(of piece: [UInt8]) throws(FetchError) -> [UInt8] {
        var piece = piece
        var finished: Int32 = 0
        let count = unsafe piece.withUnsafeMutableBytes {
            unsafe spillway_http_chunks_take(chunks, $0.baseAddress, $0.count, &finished)
        }
        guard count >= 0 else { throw FetchError(.data, "a chunk that is malformed") }
        if finished != 0 { isFinished = true }
        piece.removeLast(piece.count - count)
        return piece
    }

    // ---- the connection ------------------------------------------------------------------------------------------

    private static func connect(_ address: HTTPAddress) throws(FetchError) -> Int32 {
        let endpoints: [Endpoint]
        do throws(ResolutionError) {
            endpoints = try Endpoint.resolve(host: address.host, port: address.port)
        } catch {
            throw FetchError(.connection, "\(address.authority): \(error)")
        }
        var reason = "no address"
        for endpoint in endpoints {
            let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let descriptor = Glibc.socket(endpoint.family, type, 0)
            guard descriptor >= 0 else { throw FetchError(.connection, "\(SystemError("socket"))") }
            var status = unsafe endpoint.withSocketAddress { unsafe Glibc.connect(descriptor, $0, $1) }
            if status != 0, errno == EINPROGRESS { status = wait(descriptor, Int16(POLLOUT)) ? 0 : -1 }
            var code: Int32 = status == 0 ? 0 : errno
            var length = socklen_t(MemoryLayout<Int32>.size)
            if status == 0 { _ = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) }
            if code == 0 { return descriptor }
            reason = "\(SystemError("connect", "\(endpoint)", code: code))"
            close(descriptor)
        }
        throw FetchError(.connection, reason)
    }

    private static func wait(_ descriptor: Int32, _ events: Int16) -> Bool {
        var entry = pollfd(fd: descriptor, events: events, revents: 0)
        let deadline = Clock.monotonic() + patience
        while true {
            let now = Clock.monotonic()
            guard now < deadline else {
                errno = ETIMEDOUT
                return false
            }
            let count = unsafe poll(&entry, 1, Int32((deadline - now) / 1_000_000 + 1))
            if count > 0 { return true }
            if count < 0, errno != EINTR { return false }
        }
    }

    private func send(_ bytes: [UInt8]) throws(FetchError) {
        var sent = 0
        while sent < bytes.count {
            let place = sent
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(socket, $0.baseAddress! + place, bytes.count - place, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                guard Self.wait(socket, Int16(POLLOUT)) else { throw FetchError(.connection, "\(SystemError("send"))") }
            } else {
                throw FetchError(.connection, "\(SystemError("send"))")
            }
        }
    }

    /// What has come; nothing at the end of the connection.
    private func receive() throws(FetchError) -> [UInt8] {
        var piece = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes {
                unsafe spillway_receive(socket, $0.baseAddress!, $0.count)
            }
            if count >= 0 {
                piece.removeLast(piece.count - count)
                return piece
            }
            guard count == -Int(EAGAIN), Self.wait(socket, Int16(POLLIN)) else {
                throw FetchError(
                    .connection, "\(SystemError("recv", "", code: count == -Int(EAGAIN) ? errno : Int32(-count)))")
            }
        }
    }

    private func receiveHead() throws(FetchError) {
        while true {
            let piece = try receive()
            guard !piece.isEmpty else { throw FetchError(.connection, "the connection ended without an answer") }
            bytes += piece
            unsafe bytes.withUnsafeBytes { unsafe spillway_http_response(head, $0.baseAddress, $0.count) }
            switch UInt32(unsafe head.pointee.status) {
            case SPILLWAY_HTTP_COMPLETE.rawValue: return beginBody()
            case SPILLWAY_HTTP_INCOMPLETE.rawValue where bytes.count < 64 << 10: continue
            default: throw FetchError(.data, "the answer is not HTTP")
            }
        }
    }

    private func beginBody() {
        let count = Int(unsafe head.pointee.byte_count)
        pending = bytes[count...]
        if unsafe head.pointee.is_chunked != 0 {
            unsafe chunks = spillway_http_chunks_new()
        } else if unsafe head.pointee.has_content_length != 0 {
            remaining = unsafe head.pointee.content_length
            if remaining == 0 { isFinished = true }
        }
    }
}
