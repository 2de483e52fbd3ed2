/// A JSON text as a tree (RFC 8259), read by the tests themselves.
enum JSON: Equatable {
    case object([String: JSON])
    case array([JSON])
    case text(String)
    case number(Double)
    case flag(Bool)
    case null

    /// Reads a whole text.
    init(_ text: [UInt8]) throws {
        var reader = JSONReader(rest: text[...])
        self = try reader.value()
        reader.skipBlanks()
        guard reader.rest.isEmpty else { throw Unexpected("JSON with something behind it") }
    }

    /// The member of this name.
    subscript(_ name: String) -> JSON? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    /// A whole number.
    var count: UInt64? {
        if case .number(let value) = self, value >= 0, value.rounded() == value { UInt64(value) } else { nil }
    }
}

private struct JSONReader {
    var rest: ArraySlice<UInt8>

    mutating func skipBlanks() { rest = rest.drop { [0x20, 0x0a, 0x0d, 0x09].contains($0) } }

    private mutating func take(_ text: String) -> Bool {
        guard rest.starts(with: text.utf8) else { return false }
        rest = rest.dropFirst(text.utf8.count)
        return true
    }

    mutating func value() throws -> JSON {
        skipBlanks()
        if take("{") { return .object(Dictionary(try members(), uniquingKeysWith: { first, _ in first })) }
        if take("[") { return .array(try items(closing: "]") { reader in try reader.value() }) }
        if take("\"") { return .text(try string()) }
        if take("true") { return .flag(true) }
        if take("false") { return .flag(false) }
        if take("null") { return .null }
        let digits = rest.prefix { "0123456789+-.eE".utf8.contains($0) }
        rest = rest.dropFirst(digits.count)
        guard let number = Double(String(decoding: digits, as: UTF8.self)) else { throw Unexpected("JSON: no value") }
        return .number(number)
    }

    private mutating func members() throws -> [(String, JSON)] {
        try items(closing: "}") { reader in
            guard reader.take("\"") else { throw Unexpected("JSON: a member without a name") }
            let name = try reader.string()
            reader.skipBlanks()
            guard reader.take(":") else { throw Unexpected("JSON: a member without a colon") }
            return (name, try reader.value())
        }
    }

    private mutating func items<Item>(
        closing end: String, _ item: (inout JSONReader) throws -> Item
    ) throws -> [Item] {
        var items: [Item] = []
        skipBlanks()
        if take(end) { return items }
        while true {
            skipBlanks()
            items.append(try item(&self))
            skipBlanks()
            if take(end) { return items }
            guard take(",") else { throw Unexpected("JSON: no comma") }
        }
    }

    private mutating func string() throws -> String {
        var bytes: [UInt8] = []
        while let byte = rest.popFirst(), byte != 0x22 {
            // What the report escapes are quotation marks and backslashes in names of files.
            if byte == 0x5c, let escaped = rest.popFirst() { bytes.append(escaped) } else { bytes.append(byte) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
