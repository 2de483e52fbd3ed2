internal import Pcapng

/// Why a side ends a connection (docs/format.md).
public enum EndCode: UInt16, Sendable, CaseIterable {
    case done, leaving, version, proof, refused, limit, malformed, late, busy, storage
}

/// END: the last block of a direction.
public struct End: Sendable, Equatable {
    /// The code as it was sent; one of ``EndCode``, or of a version to come.
    public var code: UInt16
    /// A sentence for people. What was read has no control characters any more.
    public var text: String

    /// An end of this kind; of a long text the first 200 bytes are said.
    public init(_ code: EndCode, _ text: String = "") {
        (self.code, self.text) = (code.rawValue, text)
    }

    /// What kind it is, if it is known here.
    public var reason: EndCode? { EndCode(rawValue: code) }

    /// The block.
    public func encoded() -> [UInt8] {
        let words = Array(text.utf8.prefix(200))
        return controlBlock(ControlType.end) { body in
            body.append(code)
            body.append(UInt16(words.count))
            body.append(UInt32(0))
            body.append(bytes: words)
        }
    }

    /// Reads a whole block.
    public init(_ block: UnsafeRawBufferPointer) throws(ControlError) {
        let reader = try unsafe FieldReader(block, type: ControlType.end, least: 24)
        code = reader.number(at: 8)
        let length = Int(reader.number(at: 10) as UInt16)
        guard length <= 200, block.count == 24 + (length + 3) & ~3 else { throw .badLength }
        // It goes into logs and onto terminals, and comes from somebody who is not trusted.
        let letters = String(decoding: reader.bytes(at: 16, count: length), as: UTF8.self).unicodeScalars
            .map { $0.properties.generalCategory == .control ? "?" : Character($0) }
        text = String(letters)
    }
}
