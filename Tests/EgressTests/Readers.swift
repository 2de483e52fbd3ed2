import Glibc
import Machine
import Synchronization
import TestSupport

/// A test waited in vain, or a socket did something it must not.
struct RigProblem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Waits until `condition` holds.
///
/// - Throws: `RigProblem` naming `what` when that takes longer than any test should.
func waitUntil(_ what: String, seconds: Int = 30, _ condition: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while try !condition() {
        guard ContinuousClock.now < deadline else { throw RigProblem("waited in vain: \(what)") }
        usleep(500)
    }
}

/// A listening socket on the loopback interface, for destinations that connect.
final class TestListener {
    let descriptor: Int32
    let endpoint: Endpoint

    /// Takes a free port.
    ///
    /// - Parameters:
    ///   - receiveBuffer: what the accepted connections' kernel buffer holds; nil leaves it to the kernel.
    ///   - isOpen: false refuses connections until `open` is called.
    init(receiveBuffer: Int32? = nil, isOpen: Bool = true) throws {
        let any = Endpoint(ipv4: UInt32(0x7f00_0001).bigEndian, port: 0)
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(AF_INET, type, 0)
        let status = unsafe any.withSocketAddress { [descriptor] in unsafe bind(descriptor, $0, $1) }
        guard status == 0 else { throw RigProblem("bind: errno \(errno)") }
        endpoint = try Endpoint.local(of: descriptor)
        if var size = receiveBuffer {
            _ = unsafe setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        if isOpen { open() }
    }

    /// Accepts connections from now on.
    func open() { listen(descriptor, 16) }

    deinit { close(descriptor) }

    /// The next connection.
    func accept() throws -> TestReader {
        var connection: Int32 = -1
        try waitUntil("a connection at \(endpoint)") {
            connection = Glibc.accept(descriptor, nil, nil)
            return connection >= 0
        }
        return TestReader(connection)
    }
}

/// The reading end of a connection; reads only when the test says so.
final class TestReader {
    private(set) var descriptor: Int32
    /// What was read so far.
    private(set) var bytes: [UInt8] = []
    /// The sender has ended its side, or the connection broke.
    private(set) var isAtEnd = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Connects to a listener of the code under test.
    init(to endpoint: Endpoint, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(endpoint.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if var size = receiveBuffer {
            _ = unsafe setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        let status = unsafe endpoint.withSocketAddress { [descriptor] in unsafe connect(descriptor, $0, $1) }
        guard status == 0 else { throw RigProblem("connect: errno \(errno)") }
    }

    deinit { close() }

    /// Reads what is there now, at most `count` bytes; waits up to `milliseconds` for the first of it.
    ///
    /// - Returns: how many bytes came.
    @discardableResult
    func read(atMost count: Int = 1 << 18, milliseconds: Int32 = 0) -> Int {
        guard !isAtEnd else { return 0 }
        if milliseconds > 0 {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&entry, 1, milliseconds)
        }
        let before = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: count))
        let got = unsafe bytes.withUnsafeMutableBytes { [descriptor] in
            unsafe recv(descriptor, $0.baseAddress! + before, count, Int32(MSG_DONTWAIT))
        }
        bytes.removeLast(count - max(got, 0))
        if got == 0 || got < 0 && errno != EAGAIN && errno != EINTR { isAtEnd = true }
        return max(got, 0)
    }

    /// Reads until the sender ends its side.
    func readToEnd(seconds: Int = 30) throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while !isAtEnd {
            guard ContinuousClock.now < deadline else { throw RigProblem("the stream did not end") }
            read(milliseconds: 100)
        }
    }

    /// Reads until at least this many batches are there; gives back the parsed stream.
    @discardableResult
    func read(batches count: Int, seconds: Int = 30) throws -> ParsedStream {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let stream = try ParsedStream(bytes)
            if stream.batches.count >= count { return stream }
            guard ContinuousClock.now < deadline, !isAtEnd else {
                throw RigProblem("\(stream.batches.count) batches instead of \(count)")
            }
            read(milliseconds: 100)
        }
    }

    /// Takes over what the kernel has received and not handed out, without giving the sender room for more.
    func peek() {
        var buffer = [UInt8](repeating: 0, count: 1 << 22)
        let got = unsafe buffer.withUnsafeMutableBytes { [descriptor] in
            unsafe recv(
                descriptor, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK))
        }
        bytes += buffer[..<max(got, 0)]
    }

    /// Gives the connection a large buffer in the kernel.
    func enlargeBuffer() {
        var size: Int32 = 1 << 20
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Ends the connection with a reset.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Closes the connection.
    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        (descriptor, isAtEnd) = (-1, true)
    }

    /// What came, taken apart.
    func stream() throws -> ParsedStream { try ParsedStream(bytes) }
}

/// A reader that reads everything as it comes, on a thread of its own.
final class BackgroundReader {
    private final class State: Sendable {
        let bytes = Mutex<[UInt8]>([])
        let count = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
    }

    private final class Box: @unchecked Sendable {
        // Safe because the test gives the reader away.
        let reader: TestReader
        init(_ reader: TestReader) { self.reader = reader }
    }

    private let state = State()
    private var thread: PinnedThread?

    /// Takes over a connection, with what was read from it before.
    ///
    /// - Parameter pause: microseconds to wait after each read, for a slow reader.
    init(_ reader: TestReader, pause: UInt32 = 0) throws {
        let box = Box(reader)
        // A small buffer was to make the reader stall; now it would only make the test slow.
        reader.enlargeBuffer()
        state.bytes.withLock { $0 = reader.bytes }
        thread = try PinnedThread(name: "reader", cpus: nil) { [state] in
            let reader = box.reader
            while !reader.isAtEnd {
                let before = reader.bytes.count
                if reader.read(atMost: pause > 0 ? 1 << 14 : 1 << 18, milliseconds: 1000) > 0 {
                    state.bytes.withLock { $0 += reader.bytes[before...] }
                    state.count.add(reader.bytes.count - before, ordering: .relaxed)
                    if pause > 0 { usleep(pause) }
                }
            }
            reader.close()
            state.isOver.store(true, ordering: .releasing)
        }
    }

    /// Bytes read so far.
    var count: Int { state.count.load(ordering: .relaxed) }

    /// Waits for the end of the stream and takes it apart.
    func finish() throws -> ParsedStream {
        try ParsedStream(try finishBytes())
    }

    /// Waits for the end of the stream.
    func finishBytes() throws -> [UInt8] {
        try waitUntil("the end of a stream") { state.isOver.load(ordering: .acquiring) }
        if let thread = thread.take() { thread.join() }
        return state.bytes.withLock { $0 }
    }
}
