import Glibc
import Machine
import Synchronization
import TestSupport

/// Takes TCP connections on loopback and keeps what comes, each connection by itself.
final class PlainReader: Sendable {
    let port: UInt16
    private let listener: CInt
    private let kept = Mutex<(streams: [[UInt8]], ended: Int)>(([], 0))
    private let isOver = Atomic<Bool>(false)

    /// - Parameter cuts: resets the n-th connection, from 0, after this many bytes; nil for not.
    init(cuts: @escaping @Sendable (Int) -> Int? = { _ in nil }) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = unsafe withUnsafeMutableBytes(of: &address) { bytes in
            let raw = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard unsafe bind(descriptor, raw, length) == 0, listen(descriptor, 8) == 0 else { return CInt(-1) }
            return unsafe getsockname(descriptor, raw, &length)
        }
        guard status == 0 else { throw PlainProblem(reason: "cannot listen") }
        (listener, port) = (descriptor, UInt16(bigEndian: address.sin_port))
        try PinnedThread(name: "plain", cpus: nil) { [self] in
            var number = 0
            while !isOver.load(ordering: .acquiring) {
                var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
                guard unsafe poll(&entry, 1, 20) > 0 else { continue }
                let connection = accept(listener, nil, nil)
                if connection < 0 { continue }
                read(connection, number, cuts(number))
                number += 1
            }
            close(listener)
        }.detach()
    }

    private func read(_ connection: CInt, _ number: Int, _ cut: Int?) {
        kept.withLock { $0.streams.append([]) }
        var room = [UInt8](repeating: 0, count: 1 << 16)
        var total = 0
        while !isOver.load(ordering: .acquiring) {
            let wanted = min(room.count, (cut ?? .max) - total)
            if wanted == 0 {
                var lingering = linger(l_onoff: 1, l_linger: 0)
                _ = unsafe setsockopt(
                    connection, SOL_SOCKET, SO_LINGER, &lingering, socklen_t(MemoryLayout<linger>.size))
                break
            }
            let count = unsafe room.withUnsafeMutableBytes { unsafe recv(connection, $0.baseAddress!, wanted, 0) }
            if count <= 0 { break }
            total += count
            kept.withLock { $0.streams[number] += room[..<count] }
        }
        close(connection)
        kept.withLock { $0.ended += 1 }
    }

    /// Everything that came, by connection.
    var streams: [[UInt8]] { kept.withLock { $0.streams } }
    /// Connections that are over.
    var ended: Int { kept.withLock { $0.ended } }

    func stop() { isOver.store(true, ordering: .releasing) }
}
