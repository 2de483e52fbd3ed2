import Glibc
import Machine
import Synchronization
import TestSupport

/// A TCP reader under a test's control: it listens, takes connections and keeps what comes, each connection by itself.
final class Reader: Sendable {
    /// What it does with connections and bytes.
    enum Manner: Sendable {
        case reading
        /// Takes connections and reads nothing.
        case stalled
        /// Takes connections and resets them as soon as nothing more arrives, without reading.
        case slamming
    }

    /// The port it listens on.
    let port: UInt16
    private let host: String
    private let state: Mutex<State>

    private struct State {
        var manner: Manner
        var listener: CInt
        var open: [(descriptor: CInt, number: Int)] = []
        var streams: [[UInt8]] = []
        /// Bytes that lay unread in the slammed connection when last looked, and how often they were the same.
        var quiet = (bytes: 0, turns: 0)
    }

    /// Listens, on loopback unless told otherwise, in the network namespace of the calling thread.
    ///
    /// - Parameters:
    ///   - host: the last number of 10.77.0.x instead of loopback.
    ///   - port: 0 lets the kernel choose.
    ///   - receiveBuffer: bytes the kernel may keep for it; small for a reader that is to stall its sender.
    init(_ manner: Manner = .reading, host: UInt8? = nil, port: UInt16 = 0, receiveBuffer: CInt? = nil) throws {
        self.host = host.map { "10.77.0.\($0)" } ?? "127.0.0.1"
        let listener = try Self.listen(host: host, port: port, receiveBuffer: receiveBuffer)
        self.port = try localPort(of: listener)
        state = Mutex(State(manner: manner, listener: listener))
        _ = try PinnedThread(name: "reader", cpus: nil) { [weak self] in
            // The thread ends when the test has let go of the reader.
            while let self { self.turn() }
        }
    }

    deinit {
        state.withLock { state in
            for one in state.open { close(one.descriptor) }
            if state.listener >= 0 { close(state.listener) }
        }
    }

    /// Where it can be reached.
    var address: String { "\(host):\(port)" }

    /// Everything that came so far, one stream per connection.
    var streams: [[UInt8]] { state.withLock { $0.streams } }
    /// Bytes that came so far.
    var byteCount: Int { state.withLock { $0.streams.reduce(0) { $0 + $1.count } } }
    /// Connections that are open now.
    var openCount: Int { state.withLock { $0.open.count } }

    /// Changes what it does from now on.
    func set(_ manner: Manner) { state.withLock { $0.manner = manner } }

    /// Is gone: resets every connection and listens no more. What its kernel has acknowledged and nobody read counts as
    /// come, so the sender must be standing still, as it is when the reader stalls.
    func vanish() {
        state.withLock { state in
            for one in state.open { keepUnread(one, &state) }
            for one in state.open { reset(one.descriptor) }
            state.open = []
            close(state.listener)
            state.listener = -1
        }
    }

    /// Counts what lies unread in a stalled connection as come, and leaves it there.
    func lookAtUnread() {
        state.withLock { state in for one in state.open { keepUnread(one, &state) } }
    }

    /// Bytes that lie unread in its connections, as soon as that stays the same for a while.
    func waitUntilFull() throws {
        var last = (bytes: -1, times: 0)
        try waitUntil("a connection that stands still") {
            let now = state.withLock { $0.open.reduce(0) { $0 + unread($1.descriptor) } }
            last = now == last.bytes && now > 0 ? (now, last.times + 1) : (now, 0)
            usleep(2000)
            return last.times > 25
        }
    }

    private func keepUnread(_ one: (descriptor: CInt, number: Int), _ state: inout State) {
        var chunk = [UInt8](repeating: 0, count: max(unread(one.descriptor), 1))
        let count = unsafe recv(one.descriptor, &chunk, chunk.count, CInt(MSG_PEEK))
        if count > 0 { state.streams[one.number] += chunk[..<count] }
    }

    /// Waits until no connection is open and at least one was.
    func waitForEnd() throws {
        try waitUntil("the end of the reader's connections") {
            state.withLock { $0.open.isEmpty && !$0.streams.isEmpty }
        }
    }

    private static func listen(host: UInt8?, port: UInt16, receiveBuffer: CInt?) throws -> CInt {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_INET, type, 0)
        var one: CInt = 1
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        if var size = receiveBuffer { unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        var address = loopback(port)
        if let host { address.sin_addr.s_addr = (0x0a4d_0000 | UInt32(host)).bigEndian }
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, 16) }
        }
        guard status == 0, Glibc.listen(descriptor, 16) == 0 else {
            close(descriptor)
            throw Unexpected("cannot listen on port \(port): errno \(errno)")
        }
        return descriptor
    }

    /// Takes what there is; sleeps when that is nothing.
    private func turn() {
        let moved = state.withLock { state in
            var moved = take(&state)
            switch state.manner {
            case .reading: for one in state.open { moved = read(one, &state) || moved }
            case .slamming: slam(&state)
            case .stalled: break
            }
            return moved
        }
        if !moved { usleep(1000) }
    }

    private func take(_ state: inout State) -> Bool {
        guard state.listener >= 0 else { return false }
        let descriptor = accept(state.listener, nil, nil)
        guard descriptor >= 0 else { return false }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        state.streams.append([])
        state.open.append((descriptor, state.streams.count - 1))
        return true
    }

    private func slam(_ state: inout State) {
        guard let one = state.open.first else { return }
        let now = unread(one.descriptor)
        state.quiet = now == state.quiet.bytes ? (now, state.quiet.turns + 1) : (now, 0)
        guard state.quiet.turns > 20 else { return }
        keepUnread(one, &state)
        reset(one.descriptor)
        state.open.removeFirst()
        state.quiet = (0, 0)
    }

    private func read(_ one: (descriptor: CInt, number: Int), _ state: inout State) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        let count = unsafe Glibc.read(one.descriptor, &chunk, chunk.count)
        if count > 0 {
            state.streams[one.number] += chunk[..<count]
            return true
        }
        if count < 0, errno == EAGAIN { return false }
        close(one.descriptor)
        state.open.removeAll { $0.number == one.number }
        return true
    }
}

/// Bytes that lie unread in a connection.
private func unread(_ descriptor: CInt) -> Int {
    var count: CInt = 0
    // FIONREAD
    return unsafe ioctl(descriptor, 0x541B, &count) == 0 ? Int(count) : 0
}

/// 127.0.0.1 with a port.
func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}

/// The port a socket is bound to.
func localPort(of descriptor: CInt) throws -> UInt16 {
    var address = sockaddr_in()
    var length: socklen_t = 16
    let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(descriptor, $0, &length) }
    }
    guard status == 0 else { throw Unexpected("getsockname: errno \(errno)") }
    return UInt16(bigEndian: address.sin_port)
}

/// Closes a connection so that the peer gets a reset.
func reset(_ descriptor: CInt) {
    var now = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    close(descriptor)
}

/// A loopback port that was free a moment ago.
func freePort() throws -> UInt16 {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var address = loopback(0)
    _ = unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, 16) }
    }
    return try localPort(of: descriptor)
}
