internal import CHashing

/// A node of a BLAKE3 tree, or its root: 32 bytes.
///
/// The root of a file is what `b3sum` prints for it. Files are cut into pieces of 1 MiB, and 1024 chunks of BLAKE3 are a whole
/// subtree: so the hash of a piece is the chaining value of its subtree, and the root follows from the pieces' hashes alone.
/// In a file of a single piece the piece is the root.
public struct TreeHash: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    var words: (UInt64, UInt64, UInt64, UInt64)

    /// All zeros.
    @_noLocks init() { words = (0, 0, 0, 0) }

    /// Bytes of a hash.
    public static var byteCount: Int { @_noLocks get { 32 } }

    /// From 32 bytes.
    init(_ bytes: some Sequence<UInt8>) {
        self.init()
        unsafe withUnsafeMutableBytes(of: &words) { target in
            for (place, byte) in bytes.prefix(32).enumerated() { unsafe target[place] = byte }
        }
    }

    /// The 32 bytes.
    public var bytes: [UInt8] { unsafe withUnsafeBytes(of: words) { unsafe Array($0) } }

    /// 64 hexadecimal digits, as b3sum writes them.
    public var description: String {
        bytes.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
    }

    /// Whether both are the same.
    @_noLocks public static func == (left: TreeHash, right: TreeHash) -> Bool {
        left.words.0 == right.words.0 && left.words.1 == right.words.1 && left.words.2 == right.words.2
            && left.words.3 == right.words.3
    }

    /// Feeds the bytes.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
    }

    /// The root of a file of more than one piece, or of none, from the hashes of its pieces in order; of one piece, that hash.
    static func root(of pieces: [TreeHash]) -> TreeHash {
        var root = TreeHash()
        if pieces.count == 1 { return pieces[0] }
        var nodes = pieces
        unsafe withUnsafeMutableBytes(of: &root.words) { result in
            let value = unsafe result.baseAddress!.assumingMemoryBound(to: UInt32.self)
            if nodes.isEmpty {
                unsafe spillway_hash_last_chunk(nil, 0, 0, 1, value)
                return
            }
            unsafe nodes.withUnsafeMutableBytes { bytes in
                unsafe spillway_hash_combine(
                    bytes.baseAddress!.assumingMemoryBound(to: UInt32.self), pieces.count, 1, value)
            }
        }
        return root
    }
}

/// How files are cut into pieces (docs/send-format.md).
enum Piece {
    /// Bytes of a piece; the last of a file may be shorter.
    static var byteCount: UInt64 { @_noLocks get { 1 << 20 } }

    /// Pieces of a file of this size.
    @_noLocks static func count(ofSize size: UInt64) -> UInt64 { (size &+ byteCount &- 1) / byteCount }

    /// The bytes of some pieces of a file of this size.
    @_noLocks static func bytes(_ pieces: Range<UInt64>, ofSize size: UInt64) -> Range<UInt64> {
        min(pieces.lowerBound &* byteCount, size)..<min(pieces.upperBound &* byteCount, size)
    }

    /// Bytes of all these pieces.
    static func byteCount(of pieces: some Sequence<Range<UInt64>>, ofSize size: UInt64) -> UInt64 {
        pieces.reduce(0) { sum, range in sum + UInt64(bytes(range, ofSize: size).count) }
    }
}
