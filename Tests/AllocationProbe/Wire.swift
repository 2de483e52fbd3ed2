import Glibc

/// Sends equal frames out of an interface through an AF_PACKET socket.
struct Wire {
    private let socket: Int32
    private let address: sockaddr_ll
    private let frame = [UInt8]([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5]) + [UInt8](repeating: 7, count: 50)

    init?(_ interface: String) {
        // Protocol 0: it only sends.
        socket = Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_ifindex = Int32(bitPattern: unsafe if_nametoindex(interface))
        address.sll_halen = 6
        self.address = address
        if socket < 0 || address.sll_ifindex == 0 { return nil }
    }

    /// Sends so many frames; waits while the interface's queue is full.
    func send(_ count: Int) {
        var address = address
        var left = count
        while left > 0 {
            let sent = unsafe withUnsafeBytes(of: &address) { address in
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
