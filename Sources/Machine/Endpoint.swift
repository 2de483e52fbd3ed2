public import Glibc

/// One end of a connection: an IP address and a port.
///
/// The address is 16 bytes as two words whose bytes in memory stand in network order, so that a header's
/// address can be compared by two loads. An IPv4 address is held as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), which
/// is also how a socket for both families names an IPv4 peer: both mean the same packets on the wire.
public struct Endpoint: BitwiseCopyable, Hashable, Sendable {
    /// The first eight bytes of the address, in network order in memory.
    public let addressHigh: UInt64
    /// The last eight bytes of the address, in network order in memory.
    public let addressLow: UInt64
    /// The interface of a link-local address (sin6_scope_id), 0 for every other address.
    public let scope: UInt32
    /// The port.
    public let port: UInt16

    /// An endpoint from its parts; the two words stand in network order in memory.
    @_noLocks @inlinable
    public init(addressHigh: UInt64, addressLow: UInt64, port: UInt16, scope: UInt32 = 0) {
        self.addressHigh = addressHigh
        self.addressLow = addressLow
        self.port = port
        // fe80::/10; elsewhere the number says nothing and would only make equal endpoints differ.
        self.scope = UInt64(bigEndian: addressHigh) >> 54 == 0x3fa ? scope : 0
    }

    /// An IPv4 endpoint.
    ///
    /// - Parameter ipv4: the address in network order in memory, like `s_addr`.
    @_noLocks @inlinable
    public init(ipv4: UInt32, port: UInt16) {
        self.init(addressHigh: 0, addressLow: Self.mapped(ipv4), port: port)
    }

    /// The second word of the form ::ffff:a.b.c.d of an IPv4 address.
    ///
    /// - Parameter ipv4: the address in network order in memory, like `s_addr`.
    @_noLocks @inlinable @inline(__always)
    public static func mapped(_ ipv4: UInt32) -> UInt64 {
        (0x0000_ffff_0000_0000 | UInt64(UInt32(bigEndian: ipv4))).bigEndian
    }

    /// Whether the packets are IPv4 packets.
    public var isIPv4: Bool {
        @_noLocks @inlinable
        get { addressHigh == 0 && UInt64(bigEndian: addressLow) >> 32 == 0xffff }
    }

    /// Whether the address is 0.0.0.0 or ::, which stands for every address of the machine.
    public var isAny: Bool {
        @_noLocks @inlinable
        get { addressHigh == 0 && (addressLow == 0 || addressLow == Self.mapped(0)) }
    }

    /// Whether the address is one of the machine to itself: 127.0.0.0/8 or ::1.
    public var isLoopback: Bool {
        @_noLocks @inlinable
        get {
            if isIPv4 { return UInt64(bigEndian: addressLow) >> 24 & 0xff == 127 }
            return addressHigh == 0 && UInt64(bigEndian: addressLow) == 1
        }
    }

    /// The same address with another port.
    @_noLocks @inlinable
    public func with(port: UInt16) -> Endpoint {
        Endpoint(addressHigh: addressHigh, addressLow: addressLow, port: port, scope: scope)
    }
}

extension Endpoint {
    /// From the kernel's form of an IPv4 endpoint.
    public init(_ address: sockaddr_in) {
        self.init(ipv4: address.sin_addr.s_addr, port: UInt16(bigEndian: address.sin_port))
    }

    /// From the kernel's form of an IPv6 endpoint.
    public init(_ address: sockaddr_in6) {
        let words = unsafe unsafeBitCast(address.sin6_addr, to: (UInt64, UInt64).self)
        self.init(
            addressHigh: words.0, addressLow: words.1, port: UInt16(bigEndian: address.sin6_port),
            scope: address.sin6_scope_id)
    }

    /// From the kernel's form of any endpoint; nil unless it is of IPv4 or IPv6.
    public init?(_ address: sockaddr_storage) {
        let endpoint: Endpoint? = unsafe withUnsafeBytes(of: address) { bytes in
            switch Int32(address.ss_family) {
            case AF_INET: Endpoint(unsafe bytes.load(as: sockaddr_in.self))
            case AF_INET6: Endpoint(unsafe bytes.load(as: sockaddr_in6.self))
            default: nil
            }
        }
        guard let endpoint else { return nil }
        self = endpoint
    }

    /// AF_INET or AF_INET6, for socket(2).
    public var family: Int32 { isIPv4 ? AF_INET : AF_INET6 }

    /// The kernel's form: a sockaddr_in or a sockaddr_in6, and how long it is.
    public var socketAddress: (storage: sockaddr_storage, length: socklen_t) {
        var storage = sockaddr_storage()
        let length = unsafe withUnsafeMutableBytes(of: &storage) { bytes in
            if isIPv4 {
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = port.bigEndian
                address.sin_addr.s_addr = UInt32(truncatingIfNeeded: UInt64(bigEndian: addressLow)).bigEndian
                unsafe bytes.storeBytes(of: address, as: sockaddr_in.self)
                return MemoryLayout<sockaddr_in>.size
            }
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = unsafe unsafeBitCast((addressHigh, addressLow), to: in6_addr.self)
            address.sin6_scope_id = scope
            unsafe bytes.storeBytes(of: address, as: sockaddr_in6.self)
            return MemoryLayout<sockaddr_in6>.size
        }
        return (storage, socklen_t(length))
    }

    /// Runs `body` with the kernel's form, for connect(2) and bind(2).
    public func withSocketAddress<Result, Failure: Error>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let (storage, length) = socketAddress
        return try unsafe withUnsafePointer(to: storage) { pointer throws(Failure) in
            try unsafe body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), length)
        }
    }

    /// The local end of a socket (getsockname(2)).
    public static func local(of socket: Int32) throws(SystemError) -> Endpoint {
        try unsafe end(of: socket, "getsockname", getsockname)
    }

    /// The other end of a connected socket (getpeername(2)).
    public static func peer(of socket: Int32) throws(SystemError) -> Endpoint {
        try unsafe end(of: socket, "getpeername", getpeername)
    }

    private static func end(
        of socket: Int32, _ name: String,
        _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(SystemError) -> Endpoint {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = unsafe withUnsafeMutablePointer(to: &storage) {
            unsafe call(socket, UnsafeMutableRawPointer($0).assumingMemoryBound(to: sockaddr.self), &length)
        }
        if status != 0 { throw SystemError(name) }
        guard let endpoint = Endpoint(storage) else { throw SystemError(name, code: EAFNOSUPPORT) }
        return endpoint
    }
}
