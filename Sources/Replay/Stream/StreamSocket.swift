internal import CMachine
internal import Glibc
internal import Machine
internal import Sending

/// A connection to a destination, used by one thread that waits where it must, for no longer than it is told.
final class StreamSocket {
    /// Why a connection cannot be used any more.
    struct Broken: Error {
        let reason: String
    }

    private let descriptor: Int32
    private let tools: SendingTools
    private let stop: StopFlag
    /// Bytes handed to the kernel.
    private(set) var written: UInt64 = 0
    /// What has come and was not looked at.
    var inbox: [UInt8] = []
    /// Whether the other side has ended its direction.
    private(set) var isAtEnd = false

    /// Connects; waits at most 5 s.
    init(_ remote: Endpoint, tools: SendingTools, stop: StopFlag) throws(Broken) {
        (self.tools, self.stop) = (tools, stop)
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(remote.family, type, 0)
        guard descriptor >= 0 else { throw Broken(reason: "socket: \(Self.reason)") }
        let status = unsafe remote.withSocketAddress { unsafe Glibc.connect(descriptor, $0, $1) }
        if status != 0, errno != EINPROGRESS { throw Broken(reason: Self.reason) }
        guard try wait(for: POLLOUT, until: Clock.monotonic() &+ 5_000_000_000) & POLLOUT != 0 else {
            throw Broken(reason: "no answer")
        }
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
        guard failure == 0 else { throw Broken(reason: SystemError("", "", code: failure).reason) }
        var yes: Int32 = 1
        _ = unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, length)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    private static var reason: String { SystemError("").reason }

    /// Bytes that the other side's TCP has not acknowledged.
    var unacknowledged: UInt64 { UInt64(max(spillway_unacknowledged(descriptor), 0)) }

    /// Waits until the connection is ready for something, or a time of the monotonic clock; what it is ready for.
    func wait(for events: Int32, until deadline: UInt64) throws(Broken) -> Int32 {
        while true {
            if stop.isSet { throw Broken(reason: "stopped") }
            let now = Clock.monotonic()
            if now >= deadline { return 0 }
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let milliseconds = min((deadline - now) / 1_000_000 + 1, 100)
            let count = unsafe poll(&entry, 1, Int32(milliseconds))
            if count > 0 {
                return Int32(entry.revents) | (Int32(entry.revents) & (POLLERR | POLLHUP) != 0 ? events : 0)
            }
            if count < 0, errno != EINTR { throw Broken(reason: Self.reason) }
        }
    }

    /// Takes in what has come; true if something did.
    func receive() throws(Broken) -> Bool {
        if isAtEnd { return false }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe chunk.withUnsafeMutableBytes {
            unsafe spillway_receive(descriptor, $0.baseAddress!, $0.count)
        }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return false }
        guard count >= 0 else { throw Broken(reason: SystemError("", code: Int32(-count)).reason) }
        isAtEnd = count == 0
        inbox += chunk[..<max(count, 0)]
        return count > 0
    }

    /// Writes bytes; `idle` is called while the connection takes none, and says until when to wait.
    func write(_ bytes: [UInt8], idle: () throws(Broken) -> UInt64) throws(Broken) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                written += UInt64(count)
                rest = rest.dropFirst(count)
            } else if count < 0, errno == EAGAIN {
                try pause(until: idle())
            } else if count < 0, errno != EINTR {
                throw Broken(reason: Self.reason)
            }
        }
    }

    /// Sends a range of a file without copying it.
    func send(
        _ file: Int32, from start: UInt64, count: UInt64, idle: () throws(Broken) -> UInt64
    ) throws(Broken) {
        var transfer = FileTransfer(descriptor: file, start: start, end: start + count, ticket: 0)
        while true {
            let before = transfer.position
            let outcome = transfer.send(to: descriptor, limit: 1 << 20, now: Clock.monotonic(), tools: tools)
            written += transfer.position - before
            switch outcome {
            case .finished: return
            case .progressed: _ = try idle()
            case .blocked, .loading: try pause(until: idle())
            case .shrunk: throw Broken(reason: "the file has become shorter")
            case .failed(let code): throw Broken(reason: SystemError("", code: code).reason)
            }
        }
    }

    private func pause(until deadline: UInt64) throws(Broken) {
        let ready = try wait(for: POLLOUT | POLLIN, until: deadline)
        if ready == 0 { throw Broken(reason: "no progress in time") }
        if ready & POLLIN != 0 { _ = try receive() }
    }

    /// Ends our direction.
    func shutDown() { _ = Glibc.shutdown(descriptor, Int32(SHUT_WR)) }
}
