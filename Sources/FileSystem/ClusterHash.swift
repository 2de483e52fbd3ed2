/// Which packets belong together, as one number; docs/mount.md has the exact definition.
///
/// Both directions of a conversation give the same number: the two ends, address and port together, are put in order first.
/// A sum of the parts would do that as well, but neighbouring addresses and ports cancel each other out in it.
struct ClusterHash: BitwiseCopyable {
    private(set) var value: UInt64 = 0x243F_6A88_85A3_08D3

    @_noLocks init() {}

    /// Takes one word in.
    @_noLocks @inline(__always)
    mutating func mix(_ word: UInt64) {
        value = (value ^ word) &* 0x9E37_79B9_7F4A_7C15
        value ^= value >> 32
    }

    /// The member of a cluster of this size.
    @_noLocks @inline(__always)
    static func member(_ hash: UInt64, of count: UInt32) -> Int {
        Int(truncatingIfNeeded: ((hash >> 32) &* UInt64(count)) >> 32)
    }
}
