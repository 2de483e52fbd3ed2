internal import Pcapng

/// Too few bytes, or other ones than there must be.
struct FormatFault: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Reads little-endian numbers one after the other and never beyond the end.
struct ByteSource {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// Bytes that are left.
    var remaining: Int { bytes.endIndex - position }

    mutating func number<Number: FixedWidthInteger & UnsignedInteger>() throws(FormatFault) -> Number {
        let width = Number.bitWidth / 8
        guard remaining >= width else { throw FormatFault("it ends in a number") }
        var value: Number = 0
        for place in 0..<width { value |= Number(bytes[position + place]) << Number(8 * place) }
        position += width
        return value
    }

    mutating func take(_ count: Int) throws(FormatFault) -> ArraySlice<UInt8> {
        guard count >= 0, remaining >= count else { throw FormatFault("it ends too early") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// A text behind its length in 16 bits.
    mutating func text() throws(FormatFault) -> String {
        let count: UInt16 = try number()
        return String(decoding: try take(Int(count)), as: UTF8.self)
    }

    mutating func run() throws(FormatFault) -> RunIdentity {
        RunIdentity(low: try number(), high: try number())
    }

    /// A range of identities as it stands in footers and intents, 40 bytes.
    mutating func batchRange() throws(FormatFault) -> BatchRange {
        let run = try run()
        let worker: UInt16 = try number()
        let lane: UInt16 = try number()
        let _: UInt32 = try number()
        return BatchRange(
            BatchLane(run: run, worker: worker, lane: lane), first: try number(), count: try number())
    }
}

extension BlockBuilder {
    mutating func append(_ range: BatchRange) {
        append(range.lane.run.low)
        append(range.lane.run.high)
        append(range.lane.worker)
        append(range.lane.lane)
        append(UInt32(0))
        append(range.first)
        append(range.count)
    }

    /// A text behind its length in 16 bits.
    mutating func append(text: String) {
        append(UInt16(text.utf8.count))
        append(bytes: text.utf8)
    }
}
