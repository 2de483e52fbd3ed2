/// A place in a cache file that is not as it was written.
public struct CacheDamage: Sendable, Equatable, CustomStringConvertible {
    /// How many places of a file are told one by one; all are counted.
    public static let limit = 100

    /// What is wrong there.
    public enum Kind: String, Sendable {
        /// A batch fails its checksum, or its trailer contradicts its records.
        case batch = "a batch that does not check"
        /// Blocks between batches fail their check block, or are none.
        case blocks = "blocks that do not check"
        /// The footer fails its checksum, or a sealed file has none.
        case footer = "no footer that checks"
        /// The footer is intact, but says something else than what is in the file.
        case contents = "a footer that says something else than what is in the file"
        /// The file ends in the middle of something.
        case torn = "the beginning of something whose end is missing"
    }

    /// Where in the file the damage begins.
    public var offset: UInt64
    /// How many bytes cannot be used.
    public var byteCount: UInt64
    /// What is wrong.
    public var kind: Kind

    /// Damage at a place.
    public init(at offset: UInt64, byteCount: UInt64, _ kind: Kind) {
        (self.offset, self.byteCount, self.kind) = (offset, byteCount, kind)
    }

    /// One line without the file's name.
    public var description: String { "at offset \(offset), \(byteCount) bytes: \(kind.rawValue)" }
}
