/// Why a capture file cannot be read, or not any further.
public enum DamageReason: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    /// There is not a single byte.
    case empty
    /// The input ends before its format can be told.
    case tooShort
    /// The first bytes belong to no capture format read here.
    case unknownFormat
    /// The input is compressed with gzip.
    case compressedGzip
    /// The input is compressed with Zstandard.
    case compressedZstandard
    /// The input is compressed with LZ4.
    case compressedLZ4
    /// The input is compressed with xz.
    case compressedXZ
    /// The input is compressed with bzip2.
    case compressedBzip2
    /// A pcap file or pcapng section of a version nobody has defined.
    case unsupportedVersion
    /// The link type word of a pcap file has reserved bits set.
    case reservedLinkTypeBits
    /// The input ends inside the header of a pcap file.
    case truncatedHeader
    /// The input ends inside a packet record of a pcap file.
    case truncatedRecord
    /// The input ends inside a pcapng block.
    case truncatedBlock
    /// A pcap record claims more than `CaptureFileParser.capturedBytesMax` captured bytes.
    case capturedLengthTooLarge
    /// A pcapng block length is less than its fixed parts need.
    case blockLengthTooSmall
    /// A pcapng block length is not a multiple of 4.
    case blockLengthUnaligned
    /// The two lengths of a pcapng block differ.
    case blockLengthsDiffer
    /// A pcapng section does not tell its byte order.
    case badByteOrderMagic
    /// The captured length of a packet is more than its block holds.
    case capturedLengthBeyondBlock
    /// A packet names an interface that its section has not described.
    case unknownInterface
    /// An option of an interface is longer than its block, or has a length its kind cannot have.
    case badInterfaceOption
    /// An interface description block is larger than `CaptureFileParser.windowBytesMax`.
    case interfaceBlockTooLarge
    /// A section describes more than `CaptureFileParser.interfacesMax` interfaces.
    case tooManyInterfaces

    /// The reason as a sentence without its full stop, to stand after the file's name and offset.
    public var sentence: String {
        switch self {
        case .empty: "the file is empty"
        case .tooShort: "the file is too short to be a capture file"
        case .unknownFormat: "this is neither a pcap nor a pcapng file"
        case .compressedGzip: Self.compressed("gzip", by: "gzip -dc FILE")
        case .compressedZstandard: Self.compressed("Zstandard", by: "zstd -dc FILE")
        case .compressedLZ4: Self.compressed("LZ4", by: "lz4 -dc FILE")
        case .compressedXZ: Self.compressed("xz", by: "xz -dc FILE")
        case .compressedBzip2: Self.compressed("bzip2", by: "bzip2 -dc FILE")
        case .unsupportedVersion: "the version of the file format is not supported"
        case .reservedLinkTypeBits: "the link type has reserved bits set"
        case .truncatedHeader: "the file ends inside its header"
        case .truncatedRecord: "the file ends inside a packet record"
        case .truncatedBlock: "the file ends inside a block"
        case .capturedLengthTooLarge:
            "a packet record claims more than \(CaptureFileParser.capturedBytesMax) captured bytes"
        case .blockLengthTooSmall: "the length of a block is too small for its kind"
        case .blockLengthUnaligned: "the length of a block is not a multiple of 4"
        case .blockLengthsDiffer: "the lengths at the two ends of a block differ"
        case .badByteOrderMagic: "a section header has no valid byte-order magic"
        case .capturedLengthBeyondBlock: "a packet is longer than the block that holds it"
        case .unknownInterface: "a packet belongs to an interface that its section does not describe"
        case .badInterfaceOption: "an option of an interface description is malformed"
        case .interfaceBlockTooLarge:
            "an interface description is larger than \(CaptureFileParser.windowBytesMax) bytes"
        case .tooManyInterfaces:
            "a section describes more than \(CaptureFileParser.interfacesMax) interfaces"
        }
    }

    private static func compressed(_ format: String, by command: String) -> String {
        "the file is compressed with \(format); decompress it through a pipe: \(command) | ... -r -"
    }
}

/// Damage in a capture file: what is wrong and where. What stands before it has been delivered.
public struct CaptureFileDamage: Sendable, Equatable, BitwiseCopyable, CustomStringConvertible {
    /// What is wrong.
    public let reason: DamageReason
    /// Where the bad block or record begins, in bytes from the start of the input.
    public let offset: UInt64

    @_noLocks
    init(_ reason: DamageReason, at offset: UInt64) {
        self.reason = reason
        self.offset = offset
    }

    /// The offset and the reason.
    public var description: String { "at offset \(offset): \(reason.sentence)" }
}
