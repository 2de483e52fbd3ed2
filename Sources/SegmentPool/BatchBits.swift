internal import CMachine

/// A set of batch ordinals in fixed memory, up to 2^18, with its greatest and least member found in three steps.
///
/// Level 0 has one bit per ordinal; a bit in level 1 says that the word below is not zero; level 2 is one word over
/// level 1. It is a view: the memory belongs to the ``BatchIndex``.
@safe package struct BatchBits: BitwiseCopyable {
    /// Level 2, then level 1, then level 0.
    private let top: UnsafeMutablePointer<UInt64>
    private let middle: UnsafeMutablePointer<UInt64>
    private let bottom: UnsafeMutablePointer<UInt64>

    /// Words a set of this many ordinals takes.
    package static func wordCount(capacity: Int) -> Int {
        let bottom = (capacity + 63) / 64
        return 1 + (bottom + 63) / 64 + bottom
    }

    /// A view of `wordCount(capacity:)` words.
    @_noLocks package init(_ words: UnsafeMutablePointer<UInt64>, capacity: Int) {
        let bottomWords = (capacity + 63) / 64
        unsafe top = words
        unsafe middle = words + 1
        unsafe bottom = words + 1 + (bottomWords + 63) / 64
    }

    @_noLocks package func contains(_ ordinal: UInt32) -> Bool {
        unsafe bottom[Int(ordinal >> 6)] >> UInt64(ordinal & 63) & 1 == 1
    }

    @_noLocks package func insert(_ ordinal: UInt32) {
        let word = ordinal >> 6
        unsafe bottom[Int(word)] |= 1 << UInt64(ordinal & 63)
        unsafe middle[Int(word >> 6)] |= 1 << UInt64(word & 63)
        unsafe top.pointee |= 1 << UInt64(word >> 6)
    }

    /// Adds all members to a flat set, one bit per ordinal.
    @_noLocks package func formUnion(into words: UnsafeMutablePointer<UInt64>, capacity: Int) {
        var word = 0
        while word < (capacity + 63) / 64 {
            unsafe words[word] |= bottom[word]
            word += 1
        }
    }

    @_noLocks package func remove(_ ordinal: UInt32) {
        let word = ordinal >> 6
        unsafe bottom[Int(word)] &= ~(1 << UInt64(ordinal & 63))
        guard unsafe bottom[Int(word)] == 0 else { return }
        unsafe middle[Int(word >> 6)] &= ~(1 << UInt64(word & 63))
        guard unsafe middle[Int(word >> 6)] == 0 else { return }
        unsafe top.pointee &= ~(1 << UInt64(word >> 6))
    }

    /// The greatest member; there must be one.
    package var greatest: UInt32 {
        @_noLocks get {
            let block = unsafe 63 - top.pointee.leadingZeroBitCount
            let word = unsafe block * 64 + 63 - middle[block].leadingZeroBitCount
            return unsafe UInt32(truncatingIfNeeded: word * 64 + 63 - bottom[word].leadingZeroBitCount)
        }
    }

    /// The least member; there must be one.
    package var least: UInt32 {
        @_noLocks get {
            let block = unsafe top.pointee.trailingZeroBitCount
            let word = unsafe block * 64 + middle[block].trailingZeroBitCount
            return unsafe UInt32(truncatingIfNeeded: word * 64 + bottom[word].trailingZeroBitCount)
        }
    }
}
