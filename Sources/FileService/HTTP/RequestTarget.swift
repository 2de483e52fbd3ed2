/// What a request asks for: a path below the served directory, and a query (RFC 9112, section 3.2; RFC 3986).
struct RequestTarget: Sendable, Equatable {
    /// Why a target is refused.
    enum Fault: Error {
        /// Not a target that this server can have.
        case malformed
        /// A name that begins with a dot: there may be such a file, but not for anybody outside.
        case hidden
    }

    /// The path, decoded, without the slash at its start; empty for the directory itself.
    var path: [UInt8]
    /// Whether the path ends in a slash, or is empty.
    var isDirectory: Bool { path.isEmpty || path.last == UInt8(ascii: "/") }
    /// The names and values of the query, decoded, in order.
    var query: [(name: String, value: String)] = []

    static func == (one: RequestTarget, other: RequestTarget) -> Bool {
        one.path == other.path && one.query.elementsEqual(other.query, by: ==)
    }

    /// Understands a target in origin form, or in the absolute form that proxies are sent.
    init(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
        try self.init(unsafe [UInt8](bytes))
    }

    /// The same out of bytes of its own.
    init(_ bytes: [UInt8]) throws(Fault) {
        var rest = Self.withoutAuthority(bytes)
        guard rest.first == UInt8(ascii: "/") else { throw .malformed }
        if let mark = rest.firstIndex(of: UInt8(ascii: "?")) {
            query = try Self.query(rest[(mark + 1)...])
            rest = rest[..<mark]
        }
        path = try Self.decoded(rest.dropFirst())
        // Decoded first: what a name looks like to the kernel is what counts.
        var isAtStart = true
        for byte in path {
            if isAtStart, byte == UInt8(ascii: ".") { throw .hidden }
            isAtStart = byte == UInt8(ascii: "/")
        }
        while path.first == UInt8(ascii: "/") { path.removeFirst() }
    }

    /// The first value of a name.
    func value(_ name: String) -> String? { query.first { $0.name == name }?.value }

    private static func withoutAuthority(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        let scheme = Array("http://".utf8)
        let hasScheme = bytes.count > scheme.count && zip(bytes, scheme).allSatisfy { $0 | 0x20 == $1 | 0x20 }
        return hasScheme ? bytes.dropFirst(scheme.count).drop { $0 != UInt8(ascii: "/") } : bytes[...]
    }

    private static func query(_ bytes: ArraySlice<UInt8>) throws(Fault) -> [(name: String, value: String)] {
        var pairs: [(name: String, value: String)] = []
        for pair in bytes.split(separator: UInt8(ascii: "&"), maxSplits: 63) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            var texts: [String] = []
            for part in parts { texts.append(String(decoding: try decoded(part, isForm: true), as: UTF8.self)) }
            pairs.append((texts[0], texts.count > 1 ? texts[1] : ""))
        }
        return pairs
    }

    /// Percent-decodes; a NUL would end the path early in the kernel.
    private static func decoded(_ bytes: ArraySlice<UInt8>, isForm: Bool = false) throws(Fault) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count + 1)
        var place = bytes.startIndex
        while place < bytes.endIndex {
            var byte = bytes[place]
            if byte == UInt8(ascii: "%") {
                guard place + 2 < bytes.endIndex, let high = digit(bytes[place + 1]), let low = digit(bytes[place + 2])
                else { throw .malformed }
                byte = high << 4 | low
                place += 2
            } else if isForm, byte == UInt8(ascii: "+") {
                byte = UInt8(ascii: " ")
            }
            if byte == 0 { throw .malformed }
            out.append(byte)
            place += 1
        }
        return out
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
