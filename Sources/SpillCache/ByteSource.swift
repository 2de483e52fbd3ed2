public import Pcapng

/// Too few bytes, or other ones than there must be.
public struct FormatFault: Error, Sendable {
    /// What is wrong, in a few words.
    public let reason: String

    /// A fault.
    public init(_ reason: String) { self.reason = reason }
}

/// Reads little-endian numbers one after the other and never beyond the end.
public struct ByteSource: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    /// Reads these bytes.
    public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    /// Reads these bytes.
    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// Reads a file that begins with a magic number and a version and ends with the checksum of all before it; what is
    /// left to read is behind the version.
    public init(checked bytes: [UInt8], magic: UInt32, version: UInt16) throws(FormatFault) {
        guard bytes.count >= 10 else { throw FormatFault("\(bytes.count) bytes are too few") }
        var end = ByteSource(bytes.suffix(4))
        guard try end.number() == Self.checksum(bytes.dropLast(4)) else { throw FormatFault("the checksum is wrong") }
        self.init(bytes.dropLast(4))
        guard try number() == magic else { throw FormatFault("it is another kind of file") }
        let found: UInt16 = try number()
        guard found == version else { throw FormatFault("it is of version \(found)") }
    }

    /// CRC32C of bytes.
    public static func checksum(_ bytes: some Collection<UInt8>) -> UInt32 { bytes.checksum }

    /// Bytes that are left.
    public var remaining: Int { bytes.endIndex - position }

    /// The next number.
    public mutating func number<Number: FixedWidthInteger & UnsignedInteger>() throws(FormatFault) -> Number {
        let width = Number.bitWidth / 8
        guard remaining >= width else { throw FormatFault("it ends in a number") }
        var value: Number = 0
        for place in 0..<width { value |= Number(bytes[position + place]) << Number(8 * place) }
        position += width
        return value
    }

    /// The next bytes.
    public mutating func take(_ count: Int) throws(FormatFault) -> ArraySlice<UInt8> {
        guard count >= 0, remaining >= count else { throw FormatFault("it ends too early") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// A text behind its length in 16 bits.
    public mutating func text() throws(FormatFault) -> String {
        let count: UInt16 = try number()
        return String(decoding: try take(Int(count)), as: UTF8.self)
    }

    /// The next 16 bytes as a run.
    public mutating func run() throws(FormatFault) -> RunIdentity {
        RunIdentity(low: try number(), high: try number())
    }

    /// A range of identities as it stands in footers and intents, 40 bytes.
    public mutating func batchRange() throws(FormatFault) -> BatchRange {
        let run = try run()
        let worker: UInt16 = try number()
        let lane: UInt16 = try number()
        let _: UInt32 = try number()
        return BatchRange(
            BatchLane(run: run, worker: worker, lane: lane), first: try number(), count: try number())
    }
}

extension BlockBuilder {
    /// A range of identities as it stands in footers and intents, 40 bytes.
    public mutating func append(_ range: BatchRange) {
        append(range.lane.run.low)
        append(range.lane.run.high)
        append(range.lane.worker)
        append(range.lane.lane)
        append(UInt32(0))
        append(range.first)
        append(range.count)
    }

    /// A text behind its length in 16 bits.
    public mutating func append(text: String) {
        append(UInt16(text.utf8.count))
        append(bytes: text.utf8)
    }
}
