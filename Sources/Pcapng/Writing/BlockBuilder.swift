/// Builds the rare blocks of a stream: section header, interfaces, lanes, statistics. Control plane, so an array is fine.
public struct BlockBuilder: Sendable {
    @usableFromInline var content: [UInt8] = []

    /// The bytes so far.
    public var bytes: [UInt8] { content }

    /// Nothing yet.
    public init() {}

    /// Appends one block with this body, padded to 4 bytes.
    public mutating func block(_ type: UInt32, _ body: (inout BlockBuilder) -> Void) {
        var inner = BlockBuilder()
        body(&inner)
        inner.pad()
        let length = UInt32(inner.bytes.count + 12)
        append(type)
        append(length)
        content += inner.bytes
        append(length)
    }

    /// Appends a little-endian integer. Inlinable, because footers of files have many thousands of them.
    @inlinable
    public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe content.append(contentsOf: $0) }
    }

    /// Appends bytes as they are.
    public mutating func append(bytes more: some Sequence<UInt8>) {
        content += more
    }

    /// Appends one option; longer values than the format can say are cut.
    public mutating func option(_ code: UInt16, _ value: some Collection<UInt8>) {
        append(code)
        append(UInt16(min(value.count, 65532)))
        content += value.prefix(65532)
        pad()
    }

    /// Appends a text option if there is a text.
    public mutating func option(_ code: UInt16, text: String?) {
        if let text, !text.isEmpty { option(code, Array(text.utf8)) }
    }

    /// Appends an unsigned 64-bit option.
    public mutating func option(_ code: UInt16, number: UInt64) {
        option(code, (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) })
    }

    /// Appends the end of the options.
    public mutating func endOfOptions() {
        append(UInt32(0))
    }

    private mutating func pad() {
        while content.count % 4 != 0 { content.append(0) }
    }
}
