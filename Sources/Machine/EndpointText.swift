import Glibc

extension Endpoint: CustomStringConvertible {
    /// From numeric text as `description` writes it: `192.0.2.7:57012`, `[2001:db8::7]:57012`,
    /// `[fe80::7%eth0]:57012`. Nil for anything else, host names included.
    public init?(parsing text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Self.port(text[text.index(after: colon)...])
        else {
            return nil
        }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            self.init(address: String(host.dropFirst().dropLast()), port: port)
            if isIPv4, !host.contains(":") { return nil }
        } else if !host.contains(":") {
            self.init(address: String(host), port: port)
        } else {
            // Without brackets nobody can tell where an IPv6 address ends.
            return nil
        }
    }

    /// From a numeric address without brackets, IPv4 or IPv6, and a port. Nil for anything else.
    public init?(address: String, port: UInt16) {
        var ipv4 = in_addr()
        if unsafe inet_pton(AF_INET, address, &ipv4) == 1 {
            self.init(ipv4: ipv4.s_addr, port: port)
            return
        }
        let parts = address.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var form = sockaddr_in6()
        guard let first = parts.first, unsafe inet_pton(AF_INET6, String(first), &form.sin6_addr) == 1 else {
            return nil
        }
        form.sin6_port = port.bigEndian
        if parts.count == 2 {
            form.sin6_scope_id = unsafe UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            if form.sin6_scope_id == 0 { return nil }
        }
        self.init(form)
    }

    /// The address alone, `192.0.2.7` or `2001:db8::7` (RFC 5952), with `%` and the interface if it is
    /// link-local.
    public var addressText: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let words = (addressHigh, addressLow)
        let text = unsafe withUnsafeBytes(of: words) { bytes in
            let start = unsafe bytes.baseAddress! + (isIPv4 ? 12 : 0)
            return unsafe String(cString: inet_ntop(family, start, &buffer, socklen_t(buffer.count)))
        }
        return scope == 0 ? text : "\(text)%\(Self.interfaceName(scope))"
    }

    /// `192.0.2.7:57012` or `[2001:db8::7]:57012`.
    public var description: String {
        isIPv4 ? "\(addressText):\(port)" : "[\(addressText)]:\(port)"
    }

    /// The name of an interface, or its number if it has gone.
    private static func interfaceName(_ index: UInt32) -> String {
        var buffer = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard let name = unsafe if_indextoname(index, &buffer) else { return "\(index)" }
        return unsafe String(cString: name)
    }

    /// A port as decimal digits and nothing else.
    private static func port(_ text: Substring) -> UInt16? {
        text.utf8.allSatisfy { (48...57).contains($0) } ? UInt16(text) : nil
    }
}

/// A name that could not be turned into addresses.
public struct ResolutionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The name.
    public let host: String
    /// The resolver's number (EAI_..., getaddrinfo(3)).
    public let code: Int32
    /// The resolver's words for it.
    public let reason: String

    /// The name and the reason.
    public var description: String { "\(host): \(reason)" }
}

extension Endpoint {
    /// All addresses of a host for TCP, in the order the resolver prefers them (RFC 6724). It may wait for
    /// name servers.
    ///
    /// - Parameter host: a name or a numeric address, without brackets.
    public static func resolve(host: String, port: UInt16) throws(ResolutionError) -> [Endpoint] {
        if let numeric = Endpoint(address: host, port: port) { return [numeric] }
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = unsafe getaddrinfo(host, String(port), &hints, &list)
        guard status == 0 else {
            let reason =
                status == EAI_SYSTEM
                ? SystemError("getaddrinfo").reason : unsafe String(cString: gai_strerror(status))
            throw ResolutionError(host: host, code: status, reason: reason)
        }
        defer { unsafe freeaddrinfo(list) }
        var endpoints: [Endpoint] = []
        var entry = unsafe list
        while let current = unsafe entry {
            if let endpoint = unsafe Endpoint(current.pointee), !endpoints.contains(endpoint) {
                endpoints.append(endpoint)
            }
            unsafe entry = current.pointee.ai_next
        }
        return endpoints
    }

    /// From one of the resolver's answers; nil unless it is of IPv4 or IPv6.
    private init?(_ answer: addrinfo) {
        var storage = sockaddr_storage()
        guard let address = unsafe answer.ai_addr else { return nil }
        let length = min(Int(unsafe answer.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
        }
        self.init(storage)
    }
}
