import FileService
import Glibc
import Machine
import TestSupport
import Testing

/// A server in this process over a directory of its own.
struct Rig {
    let folder: String
    let server: FileServer
    var endpoint: Endpoint { server.endpoints[0] }
    var url: String { "http://\(endpoint)" }

    /// The figure of a counter in the report.
    func figure(_ name: String) throws -> Int {
        let report = server.report()
        let start = try #require(report.firstRange(of: "\"\(name)\": "), "no \(name) in the report")
        return try #require(Int(report[start.upperBound...].prefix { $0.isNumber }))
    }

    /// Waits until something holds.
    func wait(_ what: String, _ condition: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try !condition() {
            try #require(ContinuousClock.now < deadline, "\(what) does not come about")
            usleep(2000)
        }
    }
}

let loopback = Endpoint(ipv4: UInt32(0x7F00_0001).bigEndian, port: 0)

/// Runs `body` with a server over a fresh directory, and ends the server whatever happens.
func withServer(
    _ change: (inout ServicePlan) -> Void = { _ in }, files: [String: [UInt8]] = [:], _ body: (Rig) throws -> Void
) throws {
    try withTemporaryDirectory { folder in
        for (name, bytes) in files {
            if let slash = name.lastIndex(of: "/") { _ = unsafe mkdir("\(folder)/\(name[..<slash])", 0o755) }
            try writeFile("\(folder)/\(name)", bytes)
        }
        var plan = ServicePlan(directory: folder, listen: [loopback])
        plan.loops = 2
        change(&plan)
        let server = try FileServer(plan)
        defer {
            server.stopAtOnce()
            while !server.hasEnded { usleep(1000) }
        }
        try body(Rig(folder: folder, server: server))
    }
}

/// A connection to a server, driven byte by byte.
final class RawClient {
    private let descriptor: Int32
    private var received: [UInt8] = []
    private(set) var isReset = false

    init(_ endpoint: Endpoint, receiveBuffer: Int32? = nil) throws {
        let socket = Glibc.socket(endpoint.family, Int32(SOCK_STREAM.rawValue), 0)
        descriptor = socket
        if var size = receiveBuffer {
            _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        let status = unsafe endpoint.withSocketAddress { unsafe connect(socket, $0, $1) }
        try #require(status == 0, "connect: \(errno)")
    }

    deinit { close(descriptor) }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        _ = unsafe Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    func endSending() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

    /// Receives something more; false at the end, after an error, or when nothing comes for long.
    func receive(milliseconds: Int32 = 20_000) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&entry, 1, milliseconds) > 0 else { return false }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
        if count < 0 { isReset = errno == ECONNRESET }
        guard count > 0 else { return false }
        received += chunk[..<count]
        return true
    }

    /// Everything up to the end of the connection.
    func rest() -> [UInt8] {
        while receive() {}
        defer { received = [] }
        return received
    }

    /// The next response, its body by its length, or as it is in chunks; without a body after HEAD.
    func response(isHead: Bool = false) throws -> Response {
        var end: Int?
        while true {
            end = Self.endOfHead(received)
            if end != nil { break }
            try #require(receive(), "no head of a response: \(String(decoding: received, as: UTF8.self))")
        }
        var response = Response(String(decoding: received[..<end!], as: UTF8.self))
        received.removeFirst(end!)
        if isHead || response.status == 304 || response.status == 204 { return response }
        if response.fields["transfer-encoding"] == "chunked" {
            while let chunk = try self.chunk() { response.body += chunk }
            return response
        }
        let length = try #require(response.fields["content-length"].flatMap { Int($0) })
        while received.count < length {
            guard receive() else { break }
        }
        response.body = Array(received.prefix(length))
        response.isWhole = response.body.count == length
        received.removeFirst(response.body.count)
        return response
    }

    /// The head of a response whose body is taken piece by piece; nil until it has come.
    func takeHead() -> Response? {
        guard let end = Self.endOfHead(received) else { return nil }
        defer { received.removeFirst(end) }
        return Response(String(decoding: received[..<end], as: UTF8.self))
    }

    /// The next chunk of a body; nil for the last one.
    func chunk() throws -> [UInt8]? {
        while true {
            if let line = received.firstIndex(of: 0x0A) {
                let size = try #require(
                    Int(String(decoding: received[..<line].dropLast(), as: UTF8.self), radix: 16), "a chunk's size")
                if received.count >= line + 1 + size + 2 {
                    let chunk = Array(received[(line + 1)..<(line + 1 + size)])
                    try #require(Array(received[(line + 1 + size)..<(line + 3 + size)]) == [0x0D, 0x0A])
                    received.removeFirst(line + 3 + size)
                    return size == 0 ? nil : chunk
                }
            }
            try #require(receive(), "a chunk that does not end")
        }
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        let mark: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
        guard bytes.count >= 4 else { return nil }
        return (0...(bytes.count - 4)).first { Array(bytes[$0..<($0 + 4)]) == mark }.map { $0 + 4 }
    }
}

/// A response as a test sees it, taken apart without the program's help.
struct Response {
    var status = 0
    var fields: [String: String] = [:]
    var body: [UInt8] = []
    var isWhole = true

    init(_ head: String) {
        let lines = head.split(separator: "\r\n")
        status = lines.first.flatMap { line in Int(line.split(separator: " ")[1]) } ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
        }
    }

    var text: String { String(decoding: body, as: UTF8.self) }
}

extension Rig {
    /// Asks on a connection of its own.
    func get(_ target: String, _ fields: String = "", method: String = "GET") throws -> Response {
        let client = try RawClient(endpoint)
        client.send("\(method) \(target) HTTP/1.1\r\nHost: test\r\n\(fields)\r\n")
        return try client.response(isHead: method == "HEAD")
    }
}
