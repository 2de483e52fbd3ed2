internal import CDistribution
internal import CMachine
internal import Glibc

/// What one bounded call of a ``PieceIntake`` came to.
enum IntakeOutcome {
    /// Something came; there may be more.
    case progressed
    /// Nothing more for now.
    case blocked
    /// A piece is whole; its hash can be asked for.
    case pieceEnded
    /// The peer closed the connection.
    case closed
    /// The connection broke, with this errno.
    case broken(Int32)
}

/// Takes the bytes of pieces out of a socket, writes them into the file and hashes them, in parts that stay in the cache.
///
/// The struct is plain memory beside the hasher's; nothing is allocated per part.
struct PieceIntake: ~Copyable {
    private var hasher = PieceHasher()
    private var file: Int32 = -1
    /// Where the piece begins in the file, how long it is, and how much of it has come.
    private var start: UInt64 = 0, length: UInt64 = 0, taken: UInt64 = 0
    /// The errno of the first write that failed; from then on bytes are only hashed.
    private(set) var writeFailure: Int32 = 0

    /// Bytes of the memory a loop lends to ``take(from:memory:)``, and of them what the hasher wants in front.
    static var memoryByteCount: Int { @_noLocks get { (256 << 10) &+ PieceHasher.room } }

    init() {}

    /// Starts a piece.
    ///
    /// - Parameter file: -1 if the bytes are not wanted.
    @_noLocks mutating func begin(file: Int32, at offset: UInt64, length: UInt64) {
        self.file = file
        start = offset
        self.length = length
        taken = 0
        writeFailure = 0
        hasher.begin(at: offset)
    }

    /// Takes what is there, at most 256 KiB.
    ///
    /// What the hasher keeps for the next part is not written yet either. So writes begin and end where pages do, and the kernel can
    /// take large folios for them, whatever lengths come out of the socket; only the end of the piece is written as it comes.
    @_noLocks mutating func take(from socket: Int32, memory: UnsafeMutableRawPointer) -> IntakeOutcome {
        let place = unsafe memory + PieceHasher.room
        let most = min(Self.memoryByteCount &- PieceHasher.room, Int(length &- taken))
        let count = unsafe spillway_receive(socket, place, most)
        if count == 0 { return .closed }
        if count < 0 { return count == -Int(EAGAIN) ? .blocked : .broken(Int32(-count)) }
        let kept = hasher.restCount
        unsafe hasher.putRest(before: place)
        unsafe hasher.add(place, byteCount: count)
        let isWhole = taken &+ UInt64(count) == length
        let ready = kept &+ count &- (isWhole ? 0 : hasher.restCount)
        if file >= 0, writeFailure == 0, ready > 0 {
            let status = unsafe spillway_write_all_at(file, place - kept, ready, start &+ taken &- UInt64(kept))
            writeFailure = -status
        }
        taken = taken &+ UInt64(count)
        return isWhole ? .pieceEnded : .progressed
    }

    /// The hash of the piece that ended.
    @_noLocks mutating func hash(isRoot: Bool) -> TreeHash { hasher.finish(isRoot: isRoot) }
}
