internal import Glibc

/// Sockets that wait for connections.
public enum Listening {
    /// A non-blocking listening TCP socket and where it really listens.
    ///
    /// - Throws: `SystemError` naming the address; EADDRINUSE, EACCES and EADDRNOTAVAIL are the ordinary ones.
    public static func open(_ endpoint: Endpoint, backlog: Int32) throws(SystemError) -> (Int32, Endpoint) {
        let (descriptor, real) = try bind(endpoint)
        guard Glibc.listen(descriptor, backlog) == 0 else {
            let error = SystemError("listen", "\(endpoint)")
            close(descriptor)
            throw error
        }
        return (descriptor, real)
    }

    /// A non-blocking TCP socket with an address, which does not listen yet; peers are refused until it does.
    public static func bind(_ endpoint: Endpoint) throws(SystemError) -> (Int32, Endpoint) {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(endpoint.family, type, 0)
        guard descriptor >= 0 else { throw SystemError("socket", "\(endpoint)") }
        do throws(SystemError) {
            var yes: Int32 = 1
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            guard unsafe endpoint.withSocketAddress({ unsafe Glibc.bind(descriptor, $0, $1) }) == 0 else {
                throw SystemError("bind", "\(endpoint)")
            }
            return (descriptor, try Endpoint.local(of: descriptor))
        } catch {
            close(descriptor)
            throw error
        }
    }
}
