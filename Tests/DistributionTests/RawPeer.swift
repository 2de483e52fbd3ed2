import Glibc
import Machine
import TestSupport
import Testing

/// One end of a connection that speaks the protocol as docs/send-format.md has it, written without the code under test.
final class RawPeer {
    let socket: Int32

    /// Connects to a receiver.
    init(port: UInt16) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let endpoint = Endpoint(parsing: "127.0.0.1:\(port)")!
        let status = unsafe endpoint.withSocketAddress { unsafe connect(socket, $0, $1) }
        try #require(status == 0)
        limitWaiting()
    }

    /// Takes over an accepted connection.
    init(accepted: Int32) {
        socket = accepted
        _ = fcntl(socket, F_SETFL, 0)
        limitWaiting()
    }

    deinit { close(socket) }

    private func limitWaiting() {
        var time = timeval(tv_sec: 10, tv_usec: 0)
        _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        unsafe withUnsafeBytes(of: number.littleEndian) { unsafe Array($0) }
    }

    static func text(_ text: String) -> [UInt8] { bytes(UInt16(text.utf8.count)) + Array(text.utf8) }

    /// Sends a message.
    func say(_ kind: UInt16, _ body: [UInt8]) {
        write(Self.bytes(UInt32(body.count)) + Self.bytes(kind) + [0, 0] + body)
    }

    func write(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// The next message; nil when the connection has ended. DATA with its bytes.
    func next() -> (kind: UInt16, body: [UInt8])? {
        guard let head = read(8) else { return nil }
        let length = head[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard let body = read(length) else { return nil }
        return (UInt16(head[4]) | UInt16(head[5]) << 8, body)
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let more = unsafe bytes.withUnsafeMutableBytes {
                unsafe recv(socket, $0.baseAddress! + got, count - got, 0)
            }
            if more <= 0 { return nil }
            got += more
        }
        return bytes
    }

    /// Greets a receiver without a token.
    func greet(version: UInt16 = 1, flags: UInt16 = 0) {
        let session = (0..<16).map { _ in UInt8.random(in: 0...255) }
        say(
            1,
            Array("SPILLSND".utf8) + Self.bytes(version) + Self.bytes(flags) + session + Array(repeating: 7, count: 32))
    }

    /// Greets a receiver and takes its answer.
    func open() throws {
        greet()
        #expect(next()?.kind == 2)
        say(3, Array(repeating: 0, count: 32))
    }

    /// Announces a file.
    func announce(_ number: UInt32, _ name: String, size: UInt64, isDirectory: Bool = false) {
        let kind: UInt32 = isDirectory ? 1 : 0
        say(
            4,
            Self.bytes(number) + Self.bytes(kind) + Self.bytes(UInt32(0o644)) + Self.bytes(size) + Self.bytes(Int64(1))
                + Self.text(name))
    }
}
