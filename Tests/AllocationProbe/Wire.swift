import Glibc

/// Sends equal frames out of an interface through an AF_PACKET socket.
struct Wire {
    private let socket: Int32
    private let address: [UInt8]
    private let frame = [UInt8]([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5]) + [UInt8](repeating: 7, count: 50)

    init?(_ interface: String) {
        // Protocol 0: it only sends.
        socket = Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let index = unsafe if_nametoindex(interface)
        // struct sockaddr_ll (packet(7)): family, protocol, interface, hardware type, packet type, address length, address.
        address =
            [UInt8(AF_PACKET), 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: index >> (8 * $0)) }
            + [0, 0, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]
        if socket < 0 || index == 0 { return nil }
    }

    /// Sends so many frames; waits while the interface's queue is full.
    func send(_ count: Int) {
        var left = count
        while left > 0 {
            let sent = unsafe address.withUnsafeBytes { address in
                unsafe sendto(
                    socket, frame, frame.count, 0, address.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                    socklen_t(address.count))
            }
            if sent == frame.count {
                left -= 1
            } else if errno != ENOBUFS && errno != EAGAIN && errno != EINTR {
                exit(74)
            }
        }
    }
}
