public import Pcapng

/// What a cache file is for.
public enum CacheKind: UInt16, Sendable {
    /// What a relay could not deliver yet.
    case spill = 1
    /// What a collector has received and not yet put into files.
    case journal = 2
}

/// What the cache header block of each section says (docs/format.md).
public struct CacheHeader: Equatable, Sendable {
    /// The version of the cache format.
    public static let version: UInt16 = 1

    /// What the file is for.
    public var kind: CacheKind
    /// Link type of all interfaces of the file.
    public var linkType: UInt16
    /// The sensor's name, at most 64 bytes.
    public var sensor: String
    /// The run whose batches the section holds.
    public var run: RunIdentity
    /// The file's number.
    public var number: UInt64
    /// When the section was begun, nanoseconds since 1970 UTC.
    public var created: UInt64
    /// The packet times the file is meant for.
    public var window: Range<UInt64>

    /// A header from its parts.
    public init(
        kind: CacheKind, linkType: UInt16, sensor: String, run: RunIdentity, number: UInt64, created: UInt64,
        window: Range<UInt64>
    ) {
        self.kind = kind
        self.linkType = linkType
        self.sensor = sensor
        self.run = run
        self.number = number
        self.created = created
        self.window = window
    }

    /// The block.
    public var block: [UInt8] {
        var out = BlockBuilder()
        let name = Array(sensor.utf8.prefix(64))
        out.block(BlockType.cacheHeader) { body in
            body.append(Self.version)
            body.append(kind.rawValue)
            body.append(linkType)
            body.append(UInt16(name.count))
            body.append(run.low)
            body.append(run.high)
            body.append(number)
            body.append(created)
            body.append(window.lowerBound)
            body.append(window.upperBound)
            body.append(bytes: name)
        }
        return out.bytes
    }

    /// From a whole block of that type.
    init(block: ArraySlice<UInt8>) throws(FormatFault) {
        var source = ByteSource(block.dropFirst(8).dropLast(4))
        let version: UInt16 = try source.number()
        guard version == Self.version else { throw FormatFault("a cache header of version \(version)") }
        guard let kind = CacheKind(rawValue: try source.number()) else { throw FormatFault("an unknown kind of file") }
        let linkType: UInt16 = try source.number()
        let count: UInt16 = try source.number()
        let run = try source.run()
        let (number, created): (UInt64, UInt64) = (try source.number(), try source.number())
        let (start, end): (UInt64, UInt64) = (try source.number(), try source.number())
        guard start <= end else { throw FormatFault("times that end before they begin") }
        guard count <= 64 else { throw FormatFault("a name of \(count) bytes") }
        let name = String(decoding: try source.take(Int(count)), as: UTF8.self)
        self.init(
            kind: kind, linkType: linkType, sensor: name, run: run, number: number, created: created,
            window: start..<end)
    }

    /// The version a block of that type says it has.
    static func version(ofBlock block: ArraySlice<UInt8>) -> UInt16? {
        guard block.count >= 12 else { return nil }
        return UInt16(block[block.startIndex + 8]) | UInt16(block[block.startIndex + 9]) << 8
    }
}

/// The check block: the checksum of the blocks before it that are in no batch.
enum CheckBlock {
    static let byteCount = 20

    /// The block that belongs behind these bytes.
    static func closing(_ bytes: [UInt8]) -> [UInt8] {
        var out = BlockBuilder()
        out.append(BlockType.check)
        out.append(UInt32(byteCount))
        out.append(UInt32(bytes.count))
        out.append((bytes + out.bytes).checksum)
        out.append(UInt32(byteCount))
        return out.bytes
    }
}
