internal import CHashing
internal import CMachine

/// Hashes one piece after the other, each as it comes in, in parts of any length.
///
/// The caller leaves room before the bytes it brings: what was left over from the part before, less than 16 KiB, is put there,
/// so that chunks lie in one piece and are hashed sixteen at a time while they are in the cache.
@safe struct PieceHasher: ~Copyable {
    // Safe because this struct owns both blocks of memory and frees them.
    private let values: UnsafeMutablePointer<UInt32>
    private let rest: UnsafeMutableRawPointer
    /// Bytes left over from the last part.
    private(set) var restCount = 0
    private var chunks = 0
    private var firstChunk: UInt64 = 0

    /// Bytes of a chunk, and of those that are hashed at once.
    private static var chunk: Int { @_noLocks get { 1024 } }
    private static var group: Int { @_noLocks get { 16 * 1024 } }
    /// The most that is left over.
    static var room: Int { @_noLocks get { group } }

    init() {
        unsafe values = .allocate(capacity: 1025 * 8)
        unsafe rest = .allocate(byteCount: Self.group, alignment: 64)
    }

    deinit {
        unsafe values.deallocate()
        unsafe rest.deallocate()
    }

    /// Starts a piece at this offset of its file.
    @_noLocks mutating func begin(at offset: UInt64) {
        restCount = 0
        chunks = 0
        firstChunk = offset / UInt64(Self.chunk)
    }

    /// Puts what was left over in front of `place`, where the next part is going to be.
    @_noLocks func putRest(before place: UnsafeMutableRawPointer) {
        unsafe spillway_copy(place - restCount, rest, restCount)
    }

    /// Takes the next part, in front of which the rest lies.
    @_noLocks mutating func add(_ part: UnsafeRawPointer, byteCount: Int) {
        let total = restCount &+ byteCount
        let whole = total / Self.group &* Self.group
        let start = unsafe part - restCount
        unsafe hash(unsafe start, chunks: whole / Self.chunk)
        restCount = total &- whole
        unsafe spillway_copy(rest, start + whole, restCount)
    }

    @_noLocks private mutating func hash(_ start: UnsafeRawPointer, chunks count: Int) {
        if count == 0 { return }
        unsafe spillway_hash_chunks(start, count, firstChunk &+ UInt64(chunks), values + chunks &* 8)
        chunks = chunks &+ count
    }

    /// The hash of the piece, of which all has been taken.
    ///
    /// - Parameter isRoot: whether it is the only piece of its file.
    @_noLocks mutating func finish(isRoot: Bool) -> TreeHash {
        var result = TreeHash()
        let whole = restCount / Self.chunk
        let isSingle = chunks == 0 && restCount <= Self.chunk
        if !isSingle { unsafe hash(unsafe UnsafeRawPointer(rest), chunks: whole) }
        let left = isSingle ? restCount : restCount &- whole &* Self.chunk
        if left > 0 || isSingle {
            let last = unsafe rest + (restCount &- left)
            unsafe spillway_hash_last_chunk(
                last, left, firstChunk &+ UInt64(chunks), isSingle && isRoot ? 1 : 0, values + chunks &* 8)
            chunks = chunks &+ 1
        }
        unsafe spillway_hash_combine(values, chunks, isRoot ? 1 : 0, values)
        unsafe spillway_copy(&result, values, 32)
        return result
    }
}
