/// The order of the bytes of a number.
public enum ByteOrder: String, Sendable, CaseIterable {
    /// Least significant byte first.
    case little
    /// Most significant byte first.
    case big
}

/// Appends numbers to a list of bytes in a chosen byte order.
public struct ByteWriter: Sendable {
    /// What was appended so far.
    public private(set) var bytes: [UInt8] = []
    /// The order of the numbers that come next.
    public var order: ByteOrder

    /// An empty list.
    public init(_ order: ByteOrder) { self.order = order }

    /// Appends a number of any width.
    public mutating func number(_ value: some FixedWidthInteger) {
        let width = type(of: value).bitWidth / 8
        let littleEndian = (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        bytes += order == .little ? littleEndian : littleEndian.reversed()
    }

    /// Appends bytes as they are.
    public mutating func raw(_ more: [UInt8]) { bytes += more }

    /// Appends bytes and then zeros up to a multiple of 4.
    public mutating func padded(_ more: [UInt8]) {
        bytes += more + [UInt8](repeating: 0, count: (4 - more.count % 4) % 4)
    }

    /// Replaces what stands at an offset.
    public mutating func replace(at offset: Int, with value: some FixedWidthInteger) {
        var patch = ByteWriter(order)
        patch.number(value)
        bytes.replaceSubrange(offset..<offset + patch.bytes.count, with: patch.bytes)
    }
}
