import Glibc
import TestSupport

/// Stands between a relay and a collector, one connection after the other in the thread of the test, and can end each behind
/// a certain byte, or hold back what came behind it. It keeps a record of what each end said.
final class SteppingProxy {
    /// One of the two ways through it.
    enum Way: Int {
        case toCollector, toRelay
    }

    /// What a connection comes to.
    enum Fate {
        /// It passes until an end closes it.
        case whole
        /// It is ended when so many bytes have gone this way.
        case cut(Way, after: Int, byReset: Bool)
        /// The relay's half is ended when it has said so many bytes more than `from`; the collector's stays, and what it has
        /// not got of these is in `Passed.held`.
        case held(from: Int, more: Int)
    }

    /// A connection that is over, as far as the relay knows.
    struct Passed {
        /// What each end said, by way; also what was held back.
        var said: [[UInt8]] = [[], []]
        /// The collector's half and what it is to get, where that was held back.
        var held: (descriptor: CInt, bytes: [UInt8])?

        subscript(way: Way) -> [UInt8] { said[way.rawValue] }
    }

    let port: UInt16
    private let listener: CInt

    init() throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = loopbackAddress(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let status = unsafe withUnsafeMutableBytes(of: &address) { bytes in
            let raw = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard unsafe bind(descriptor, raw, length) == 0, listen(descriptor, 16) == 0 else { return CInt(-1) }
            return unsafe getsockname(descriptor, raw, &length)
        }
        guard status == 0 else { throw ProtocolProblem("no listener for the proxy") }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(listener) }

    /// Takes the relay's next connection and passes it on to a collector.
    ///
    /// - Parameters:
    ///   - idle: called when nobody has said anything for some milliseconds.
    func pass(to collector: UInt16, _ fate: Fate, idle: () throws -> Void = {}) throws -> Passed {
        guard Self.isReadable([listener], 30_000)[0] else { throw ProtocolProblem("the relay does not connect") }
        let front = accept(listener, nil, nil)
        guard let back = TestConnection(port: collector) else {
            close(front)
            throw ProtocolProblem("the collector does not listen")
        }
        let ends = [front, dup(back.descriptor)]
        setNoDelay(ends)
        var passed = Passed()
        var (isOver, deadline) = ([false, false], ContinuousClock.now + .seconds(60))
        while !isOver.allSatisfy(\.self) {
            let ready = Self.isReadable(isOver.indices.map { isOver[$0] ? -1 : ends[$0] }, 5)
            if ready.allSatisfy({ !$0 }) {
                guard ContinuousClock.now < deadline else { throw ProtocolProblem("nothing happens any more") }
                try idle()
                continue
            }
            deadline = ContinuousClock.now + .seconds(60)
            for place in ends.indices where ready[place] {
                let room = Self.room(fate, Way(rawValue: place)!, said: passed.said[place].count)
                if room == 0 { return finish(passed, ends, fate) }
                guard let bytes = Self.receive(ends[place], room) else {
                    isOver[place] = true
                    shutdown(ends[1 - place], CInt(SHUT_WR))
                    continue
                }
                passed.said[place] += bytes
                if !Self.isHeld(fate, place, passed) { Self.send(bytes, to: ends[1 - place]) }
                if Self.isDone(fate, passed) { return finish(passed, ends, fate) }
            }
        }
        for end in ends { close(end) }
        return passed
    }

    /// How many bytes may be taken from an end now.
    private static func room(_ fate: Fate, _ way: Way, said: Int) -> Int {
        switch fate {
        case .cut(way, let limit, _): limit - said
        case .held(let from, _) where way == .toCollector && said < from: from - said
        default: 1 << 16
        }
    }

    private static func isHeld(_ fate: Fate, _ place: Int, _ passed: Passed) -> Bool {
        if case .held(let from, _) = fate { place == 0 && passed.said[0].count > from } else { false }
    }

    private static func isDone(_ fate: Fate, _ passed: Passed) -> Bool {
        switch fate {
        case .whole: false
        // Nothing of what follows the last byte is waited for; where none is to pass, the first one is.
        case .cut(let way, let limit, _): limit > 0 && passed[way].count == limit
        case .held(let from, let more): passed[.toCollector].count >= from + more
        }
    }

    private func finish(_ passed: Passed, _ ends: [CInt], _ fate: Fate) -> Passed {
        var passed = passed
        switch fate {
        case .held(let from, _):
            close(ends[0])
            passed.held = (ends[1], Array(passed[.toCollector][from...]))
        case .cut(_, _, true):
            for end in ends {
                var option = linger(l_onoff: 1, l_linger: 0)
                _ = unsafe setsockopt(end, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
                close(end)
            }
        default: for end in ends { close(end) }
        }
        return passed
    }

    /// Sends what was held back, and takes what the collector says to it until it closes.
    static func release(_ held: (descriptor: CInt, bytes: [UInt8])) {
        play(held.bytes, over: held.descriptor)
        close(held.descriptor)
    }

    /// Says to a collector what a relay said on a connection before, and listens until it closes.
    static func play(_ bytes: [UInt8], to collector: UInt16) throws {
        guard let connection = TestConnection(port: collector) else { throw ProtocolProblem("no collector") }
        play(bytes, over: connection.descriptor)
    }

    private static func play(_ bytes: [UInt8], over descriptor: CInt) {
        send(bytes, to: descriptor)
        shutdown(descriptor, CInt(SHUT_WR))
        while receive(descriptor, 1 << 16) != nil {}
    }

    // ---- sockets

    private func setNoDelay(_ descriptors: [CInt]) {
        for descriptor in descriptors {
            var yes: CInt = 1
            _ = unsafe setsockopt(
                descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
        }
    }

    private static func isReadable(_ descriptors: [CInt], _ milliseconds: CInt) -> [Bool] {
        var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        _ = unsafe poll(&entries, nfds_t(entries.count), milliseconds)
        return entries.map { $0.revents != 0 }
    }

    /// What is there, nil at the end or when the connection is broken.
    private static func receive(_ descriptor: CInt, _ limit: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, limit, 0) }
        return count > 0 ? Array(bytes[..<count]) : nil
    }

    private static func send(_ bytes: [UInt8], to descriptor: CInt) {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress! + done, bytes.count - done, CInt(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            done += count
        }
    }
}
