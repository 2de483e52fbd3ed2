/// What a URL of http says (RFC 9110, section 4.2.1).
public struct HTTPAddress: Sendable, Equatable {
    /// Host and port as they stand in the Host field.
    public let authority: String
    /// Name or numeric address, without brackets, and port.
    public let host: String, port: UInt16
    /// Path and query, as they are sent.
    public let target: String

    /// Understands `http://HOST[:PORT]/PATH[?QUERY]`.
    public init(_ text: String) throws(FetchError) {
        guard text.lowercased().hasPrefix("http://") else {
            let reason =
                text.lowercased().hasPrefix("https://") ? "; TLS is not spoken, sealed files do not need it" : ""
            throw FetchError(.address, "\(text): write http://HOST:PORT/PATH\(reason)")
        }
        let rest = text.dropFirst(7).prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        var target = String(rest.dropFirst(authority.count))
        if !target.hasPrefix("/") { target = "/" + target }
        var host = authority
        var port: UInt16 = 80
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else {
                throw FetchError(.address, "\(text): no such port")
            }
            host = authority[..<colon]
            port = number
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        let isPlain = target.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F } && !authority.contains("@")
        guard !host.isEmpty, isPlain, authority.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw FetchError(.address, "\(text): write http://HOST:PORT/PATH, with blanks as %20")
        }
        self.authority = String(authority)
        self.host = String(host)
        self.port = port
        self.target = target
    }

    /// The last part of the path, decoded as far as that gives a name of a file; nil if there is none.
    public var fileName: String? {
        let path = target.prefix { $0 != "?" }
        let encoded = Array((path.split(separator: "/").last ?? "").utf8)
        let request = Array("/".utf8) + encoded
        guard let decoded = (try? RequestTarget(request))?.path,
            !decoded.isEmpty, !decoded.contains(UInt8(ascii: "/")), !path.hasSuffix("/")
        else { return nil }
        return String(decoding: decoded, as: UTF8.self)
    }
}
