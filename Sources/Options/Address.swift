/// A TCP address: a host name or a numeric address, and a port.
public struct Address: Sendable, Hashable, CustomStringConvertible {
    /// A name or a numeric address, without brackets.
    public let host: String
    /// TCP port.
    public let port: UInt16

    /// An address with these parts.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Where to connect: `HOST:PORT`, with a numeric IPv6 address in brackets and a port from 1.
    public static func connecting(_ text: String) -> Address? {
        guard let (host, port) = split(text), let host, let port, port > 0 else { return nil }
        return Address(host: host, port: port)
    }

    /// Where to listen: `ADDR:PORT`, where port 0 lets the kernel choose. No address means the loopback address; no
    /// port means `defaultPort`, if there is one.
    public static func listening(_ text: String, defaultPort: UInt16? = nil) -> Address? {
        guard let (host, port) = split(text), let port = port ?? defaultPort else { return nil }
        return Address(host: host ?? "127.0.0.1", port: port)
    }

    /// Takes apart what may stand on either side of the last colon; nil if a part is there but wrong, or both lack.
    private static func split(_ text: String) -> (host: String?, port: UInt16?)? {
        var host = text[...]
        var port: UInt16?
        // In a bracketed address without a port the last colon is not ours.
        if let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") {
            guard let number = Values.count(String(text[text.index(after: colon)...])),
                let exact = UInt16(exactly: number)
            else { return nil }
            host = text[..<colon]
            port = exact
        }
        if host.isEmpty { return port == nil ? nil : (nil, port) }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            let inner = host.dropFirst().dropLast()
            return isIPv6(inner) ? (String(inner), port) : nil
        }
        return isHost(host) ? (String(host), port) : nil
    }

    /// Whether it looks like a host name or an IPv4 address. Digits alone are refused: resolvers take them for a
    /// 32-bit address, while people who write them mean a port.
    private static func isHost(_ text: Substring) -> Bool {
        Values.isHostText(text) && text.contains { !$0.isNumber }
    }

    /// Whether it has the characters of an IPv6 address, a scope such as `%eth0` included.
    private static func isIPv6(_ text: Substring) -> Bool {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts[0].contains(":"), parts[0].allSatisfy({ $0 == ":" || $0 == "." || ($0.isASCII && $0.isHexDigit) })
        else { return false }
        return parts.count == 1 || Values.isHostText(parts[1])
    }

    /// As people write it.
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

extension Values {
    /// Whether a text is made of 1 to 253 letters, digits, dots, hyphens and underscores.
    static func isHostText(_ text: Substring) -> Bool {
        (1...253).contains(text.utf8.count)
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || ".-_".contains($0)) }
    }
}
