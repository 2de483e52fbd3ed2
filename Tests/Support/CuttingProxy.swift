import Glibc
import Synchronization

/// Stands between a relay and a collector, passes bytes on in both directions, and resets connections where it is told to.
public final class CuttingProxy: Sendable {
    /// The port of the loopback address it listens on.
    public let port: UInt16
    private let listener: CInt
    private let backendPort: Atomic<UInt16>
    private let cutsAfter: @Sendable (Int) -> Int?
    private let delay: Atomic<Int>
    private let room: Int
    private let cutNow = Atomic<Bool>(false)
    private let stopped = Atomic<Bool>(false)
    private let over = Atomic<Bool>(false)
    private let accepted = Atomic<Int>(0)

    /// - Parameters:
    ///   - backend: the collector's port.
    ///   - room: bytes it holds each way at most.
    ///   - delay: milliseconds by which bytes are held back, each way.
    ///   - cutsAfter: for the n-th connection, from 0, after how many bytes of both directions together it is reset; nil for not.
    public init(
        to backend: UInt16, room: Int = 8 << 20, delay: Int = 0,
        cutsAfter: @escaping @Sendable (Int) -> Int? = { _ in nil }
    ) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = loopbackAddress(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = unsafe withUnsafeMutableBytes(of: &address) { bytes in
            let raw = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard unsafe bind(descriptor, raw, length) == 0, listen(descriptor, 16) == 0 else { return CInt(-1) }
            return unsafe getsockname(descriptor, raw, &length)
        }
        guard status == 0 else { throw StreamProblem("proxy: \(systemMessage(errno))") }
        (listener, port) = (descriptor, UInt16(bigEndian: address.sin_port))
        backendPort = Atomic(backend)
        self.delay = Atomic(delay)
        (self.room, self.cutsAfter) = (room, cutsAfter)
        try startThread { [self] in
            while !stopped.load(ordering: .acquiring) {
                guard isReadable(listener, 20) else { continue }
                let front = accept(listener, nil, nil)
                if front >= 0 { serve(front) }
            }
            close(listener)
            over.store(true, ordering: .releasing)
        }
    }

    /// Connections so far.
    public var connections: Int { accepted.load(ordering: .relaxed) }

    /// Leads the next connections to another port.
    public func lead(to backend: UInt16) { backendPort.store(backend, ordering: .relaxed) }

    /// Holds what comes from now on back for so many milliseconds.
    public func set(delay milliseconds: Int) { delay.store(milliseconds, ordering: .relaxed) }

    /// Resets the present connection.
    public func cut() { cutNow.store(true, ordering: .relaxed) }

    /// Ends it and waits for its thread.
    public func stop() {
        stopped.store(true, ordering: .releasing)
        while !over.load(ordering: .acquiring) { usleep(1000) }
    }

    private func connectBackend() -> CInt? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = loopbackAddress(backendPort.load(ordering: .relaxed))
        let status = unsafe withUnsafeMutableBytes(of: &address) { bytes in
            unsafe connect(
                descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        if status == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    /// Bytes on their way in one direction, and when they may go on.
    private struct Lane {
        var from: CInt, to: CInt
        var waiting: [(due: UInt64, bytes: ArraySlice<UInt8>)] = []
        var count = 0
        var isOver = false
    }

    private func serve(_ front: CInt) {
        let number = accepted.add(1, ordering: .relaxed).oldValue
        cutNow.store(false, ordering: .relaxed)
        guard let back = connectBackend() else { return Self.reset([front]) }
        for descriptor in [front, back] {
            var yes: CInt = 1
            _ = unsafe setsockopt(
                descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }
        var budget = cutsAfter(number) ?? .max
        var lanes = [Lane(from: front, to: back), Lane(from: back, to: front)]
        while !stopped.load(ordering: .acquiring), !cutNow.load(ordering: .relaxed), budget > 0 {
            if lanes.allSatisfy({ $0.isOver && $0.waiting.isEmpty }) {
                close(front)
                close(back)
                return
            }
            wait(lanes)
            for place in lanes.indices where !pump(&lanes[place], &budget) { return Self.reset([front, back]) }
        }
        Self.reset([front, back])
    }

    private func wait(_ lanes: [Lane]) {
        var entries = lanes.map { lane in
            pollfd(fd: lane.from, events: Int16(!lane.isOver && lane.count < room ? POLLIN : 0), revents: 0)
        }
        entries += lanes.map { lane in
            let isDue = lane.waiting.first.map { $0.due <= Self.now() } ?? false
            return pollfd(fd: lane.to, events: Int16(isDue ? POLLOUT : 0), revents: 0)
        }
        _ = unsafe poll(&entries, nfds_t(entries.count), lanes.contains { !$0.waiting.isEmpty } ? 1 : 10)
    }

    /// Takes what has come and passes on what is due; false if a side is gone.
    private func pump(_ lane: inout Lane, _ budget: inout Int) -> Bool {
        if !lane.isOver, lane.count < room {
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(lane.from, $0.baseAddress!, $0.count, 0) }
            if count > 0 {
                lane.waiting.append((Self.now() + UInt64(delay.load(ordering: .relaxed)) * 1_000_000, buffer[..<count]))
                lane.count += count
            } else if count == 0 {
                lane.isOver = true
            } else if errno != EAGAIN {
                return false
            }
        }
        while let first = lane.waiting.first, first.due <= Self.now(), budget > 0 {
            let part = first.bytes.prefix(budget)
            let sent = unsafe part.withUnsafeBytes {
                unsafe send(lane.to, $0.baseAddress!, $0.count, CInt(MSG_NOSIGNAL))
            }
            if sent < 0 { return errno == EAGAIN }
            budget -= sent
            lane.count -= sent
            if sent == first.bytes.count {
                lane.waiting.removeFirst()
            } else {
                lane.waiting[0].bytes = first.bytes.dropFirst(sent)
            }
        }
        if lane.isOver, lane.waiting.isEmpty { shutdown(lane.to, CInt(SHUT_WR)) }
        return true
    }

    private static func now() -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Ends connections so that both ends see an error.
    private static func reset(_ descriptors: [CInt]) {
        for descriptor in descriptors {
            var option = linger(l_onoff: 1, l_linger: 0)
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
            close(descriptor)
        }
    }
}
