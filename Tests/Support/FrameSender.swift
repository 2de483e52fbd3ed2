import Glibc

/// Sends whole frames over an interface through an AF_PACKET socket of its own.
public final class FrameSender: Sendable {
    private let socket: CInt
    private let address: [UInt8]

    /// Opens a socket in the network namespace of the calling thread.
    public init(_ interface: String) throws {
        // AF_PACKET, SOCK_RAW, protocol 0: it only sends.
        socket = Glibc.socket(17, CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw FileProblem("cannot open a packet socket for", interface) }
        let index = unsafe if_nametoindex(interface)
        // struct sockaddr_ll: family, protocol, interface, hardware type, packet type, address length,
        // address.
        var words = ByteWriter(.little)
        words.number(UInt16(17))
        words.number(UInt16(0))
        words.number(index)
        words.raw([0, 0, 0, 6] + [UInt8](repeating: 0, count: 8))
        address = words.bytes
    }

    deinit { close(socket) }

    /// Sends one frame; waits while the interface's queue is full.
    public func send(_ frame: [UInt8]) throws {
        while true {
            let count = unsafe frame.withUnsafeBytes { frame in
                unsafe address.withUnsafeBytes { address in
                    unsafe sendto(
                        socket, frame.baseAddress, frame.count, 0,
                        address.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count))
                }
            }
            if count == frame.count { return }
            guard errno == ENOBUFS || errno == EAGAIN || errno == EINTR else {
                throw FileProblem("cannot send on", "a packet socket")
            }
        }
    }
}
