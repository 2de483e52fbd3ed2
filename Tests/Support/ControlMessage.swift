/// A control block of acknowledged delivery, made and taken apart by docs/format.md and nothing else.
public enum ControlMessage: Sendable, Equatable {
    case hello(least: UInt16 = 1, greatest: UInt16 = 1, flags: UInt32 = 0, challenge: [UInt8])
    case session(
        version: UInt16 = 1, challenge: [UInt8], digest: [UInt8], proof: [UInt8], sensor: String, destination: String)
    case proof([UInt8])
    case ranges(ControlRanges)
    case end(code: UInt16, text: String = "")

    /// The block's bytes.
    public var bytes: [UInt8] {
        var body = ByteWriter(.little)
        switch self {
        case .hello(let least, let greatest, let flags, let challenge):
            body.number(least)
            body.number(greatest)
            body.number(flags)
            body.raw(challenge)
            return Self.block(0x8053_5048, body.bytes)
        case .session(let version, let challenge, let digest, let proof, let sensor, let destination):
            for half in [version, 0, UInt16(sensor.utf8.count), UInt16(destination.utf8.count)] { body.number(half) }
            body.raw(challenge + digest + proof)
            body.padded(Array(sensor.utf8) + Array(destination.utf8))
            return Self.block(0x8053_5053, body.bytes)
        case .proof(let proof):
            body.raw([UInt8](repeating: 0, count: 8) + proof)
            return Self.block(0x8053_5050, body.bytes)
        case .ranges(let ranges):
            for half in [0, ranges.flags, ranges.worker, ranges.lane] { body.number(half) }
            body.raw(ranges.run)
            body.number(ranges.mark)
            body.number(ranges.reason)
            body.number(UInt32(ranges.ranges.count))
            for range in ranges.ranges {
                body.number(range.lowerBound)
                body.number(range.upperBound)
            }
            return Self.block(ranges.kind.rawValue, body.bytes)
        case .end(let code, let text):
            body.number(code)
            body.number(UInt16(text.utf8.count))
            body.number(UInt32(0))
            body.padded(Array(text.utf8))
            return Self.block(0x8053_5045, body.bytes)
        }
    }

    /// A control block around any body.
    public static func block(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
        var block = ByteWriter(.little)
        block.number(type)
        block.number(UInt32(body.count + 16))
        block.raw(body)
        block.number(referenceCRC32C(block.bytes))
        block.number(UInt32(body.count + 16))
        return block.bytes
    }

    /// Takes a whole block apart; nil if it is no control block.
    public init?(_ bytes: [UInt8]) throws {
        let source = ByteReader(bytes)
        guard bytes.count >= 12 else { return nil }
        let type = source.word(0)
        let kind = ControlRanges.Kind(rawValue: type)
        guard kind != nil || [0x8053_5048, 0x8053_5053, 0x8053_5050, 0x8053_5045].contains(type) else { return nil }
        func check(_ condition: Bool, _ what: String) throws {
            if !condition { throw StreamProblem("control block \(type & 0xff): \(what)") }
        }
        let body = bytes.count - 8
        try check(Int(source.word(4)) == bytes.count && Int(source.word(bytes.count - 4)) == bytes.count, "lengths")
        try check(source.word(body) == referenceCRC32C(bytes[..<body]), "checksum")
        if let kind {
            let count = Int(source.word(44))
            try check(bytes.count == 56 + 16 * count && source.half(8) == 0, "layout")
            var ranges: [Range<UInt64>] = []
            for place in 0..<count {
                let (first, end) = (source.long(48 + 16 * place), source.long(56 + 16 * place))
                try check(first < end && (ranges.last.map { $0.upperBound < first } ?? true), "order of ranges")
                ranges.append(first..<end)
            }
            self = .ranges(
                ControlRanges(
                    kind, run: Array(bytes[16..<32]), worker: source.half(12), lane: source.half(14), ranges,
                    flags: source.half(10), mark: source.long(32), reason: source.word(40)))
            return
        }
        switch type {
        case 0x8053_5048:
            try check(bytes.count == 56, "layout")
            self = .hello(
                least: source.half(8), greatest: source.half(10), flags: source.word(12),
                challenge: Array(bytes[16..<48]))
        case 0x8053_5053:
            let (sensor, destination) = (Int(source.half(12)), Int(source.half(14)))
            let padded = (sensor + destination + 3) / 4 * 4
            try check(bytes.count == 120 + padded && source.half(10) == 0, "layout")
            self = .session(
                version: source.half(8), challenge: Array(bytes[16..<48]), digest: Array(bytes[48..<80]),
                proof: Array(bytes[80..<112]), sensor: String(decoding: bytes[112..<112 + sensor], as: UTF8.self),
                destination: String(
                    decoding: bytes[(112 + sensor)..<(112 + sensor + destination)], as: UTF8.self))
        case 0x8053_5050:
            try check(bytes.count == 56 && source.long(8) == 0, "layout")
            self = .proof(Array(bytes[16..<48]))
        default:
            let length = Int(source.half(10))
            let padded = (length + 3) / 4 * 4
            try check(length <= 200 && bytes.count == 24 + padded && source.word(12) == 0, "layout")
            self = .end(code: source.half(8), text: String(decoding: bytes[16..<16 + length], as: UTF8.self))
        }
    }
}

/// OWED, HAVE, ACK or GONE.
public struct ControlRanges: Sendable, Equatable {
    /// Which of them.
    public enum Kind: UInt32, Sendable, CaseIterable {
        case owed = 0x8053_504f
        case have = 0x8053_5056
        case ack = 0x8053_5041
        case gone = 0x8053_5047
    }

    /// Which of them.
    public var kind: Kind
    /// The run's 16 bytes.
    public var run: [UInt8]
    /// The worker, the lane, the flags.
    public var worker: UInt16, lane: UInt16, flags: UInt16
    /// Batch numbers.
    public var ranges: [Range<UInt64>]
    /// The mark, in OWED.
    public var mark: UInt64
    /// The reason, in GONE.
    public var reason: UInt32

    /// A block's contents.
    public init(
        _ kind: Kind, run: [UInt8], worker: UInt16 = 0, lane: UInt16 = 0, _ ranges: [Range<UInt64>] = [],
        flags: UInt16 = 0, mark: UInt64 = 0, reason: UInt32 = 0
    ) {
        (self.kind, self.run, self.worker, self.lane, self.ranges) = (kind, run, worker, lane, ranges)
        (self.flags, self.mark, self.reason) = (flags, mark, reason)
    }

    /// Whether it is the last of a list.
    public var isLast: Bool { flags & 1 == 1 }
}
