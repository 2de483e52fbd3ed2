/// Builds the rare blocks of a stream: section header, interfaces, lanes, statistics. Control plane, so an array is fine.
public struct BlockBuilder: Sendable {
    /// The bytes so far.
    public private(set) var bytes: [UInt8] = []

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
        bytes += inner.bytes
        append(length)
    }

    /// Appends a little-endian integer.
    public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
        }
    }

    /// Appends bytes as they are.
    public mutating func append(bytes more: some Sequence<UInt8>) {
        bytes += more
    }

    /// Appends one option; longer values than the format can say are cut.
    public mutating func option(_ code: UInt16, _ value: some Collection<UInt8>) {
        append(code)
        append(UInt16(min(value.count, 65532)))
        bytes += value.prefix(65532)
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
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}
