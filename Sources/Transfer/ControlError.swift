/// What is wrong with bytes that should be a block of acknowledged delivery.
public enum ControlError: UInt8, Error, Sendable, CustomStringConvertible {
    /// The length at the block's beginning is no multiple of 4, below 12, or not what the layout needs.
    case badLength
    /// It is longer than blocks of its type may be.
    case tooLong
    /// The length at the end differs from that at the beginning.
    case lengthsDiffer
    /// The checksum is that of other bytes.
    case checksumDiffers
    /// The type is not the one expected.
    case otherType
    /// A version range that is empty or begins with 0.
    case badVersions
    /// A name that is not allowed.
    case badName
    /// Ranges that are empty, overlap, touch or descend.
    case badRanges
    /// Batch numbers that were never given out.
    case neverGivenOut

    /// A few words for the log.
    public var description: String {
        switch self {
        case .badLength: "a block has an impossible length"
        case .tooLong: "a block is too long"
        case .lengthsDiffer: "a block's two lengths differ"
        case .checksumDiffers: "a control block's checksum is wrong"
        case .otherType: "another block was expected"
        case .badVersions: "the versions offered make no sense"
        case .badName: "a name is not allowed"
        case .badRanges: "ranges are not in order"
        case .neverGivenOut: "batches are named that never were"
        }
    }

    /// The code a side ends the connection with.
    public var endCode: EndCode {
        switch self {
        case .tooLong: .limit
        case .badName: .refused
        default: .malformed
        }
    }
}
