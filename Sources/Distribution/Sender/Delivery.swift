internal import Fragments

/// One file on its way to one peer.
final class Delivery {
    let file: SourceFile
    /// The file, open while the delivery lasts; -1 for a directory.
    let descriptor: Int32
    /// Whether the peer has said what it has, and what it has said.
    private(set) var isAnswered = false
    private var claimed: RangeList<UInt64>
    private var evidence: TreeHash?
    /// Pieces that are to be sent.
    var missing: RangeList<UInt64>
    /// How many hashes the peer knows, from the first on, and whether it knows the root.
    var hashesTold: UInt64 = 0
    var isRootTold = false
    /// Bytes sent, bytes the peer had, and bytes it says are verified.
    var sentBytes: UInt64 = 0
    private(set) var hadBytes: UInt64 = 0
    var acknowledgedBytes: UInt64 = 0
    /// How often pieces were asked for again.
    var repeats = 0

    init(_ file: SourceFile, descriptor: Int32) {
        (self.file, self.descriptor) = (file, descriptor)
        claimed = RangeList(limit: file.count)
        missing = claimed
    }

    /// The peer says what it has.
    ///
    /// - Parameter onItsWay: pieces that are being sent right now.
    func answer(
        _ pieces: RangeList<UInt64>, _ evidence: TreeHash, onItsWay: Range<UInt64>?
    ) throws(ProtocolProblem) {
        guard pieces.limit == file.count else {
            throw .falseClaim("\(file.announcement.name): \(pieces.limit) pieces of a file of \(file.count)")
        }
        isAnswered = true
        (claimed, self.evidence) = (pieces, evidence)
        missing = RangeList(limit: file.count)
        for gap in pieces.gaps(in: 0..<file.count) { _ = try? missing.insert(gap) }
        if let onItsWay { _ = try? missing.erase(onItsWay) }
        hadBytes = Piece.byteCount(of: pieces.map(\.range), ofSize: file.size)
        acknowledgedBytes = 0
    }

    /// Whether the peer has what it says, as far as our own hashes tell by now; what it does not is missing then.
    func checkClaim() -> Bool {
        guard let evidence, file.root != nil else { return true }
        self.evidence = nil
        if claimed.isEmpty { return true }
        let hashes = claimed.flatMap { file.hashes($0.range) }
        if TreeHash.root(of: hashes) == evidence { return true }
        for range in claimed { _ = try? missing.insert(range.range) }
        hadBytes = 0
        return false
    }

    /// The peer says how much is verified.
    func acknowledge(_ bytes: UInt64) throws(ProtocolProblem) {
        guard bytes <= min(file.size, hadBytes + sentBytes) else {
            throw .falseClaim(
                "\(file.announcement.name): \(bytes) bytes verified, when it had \(hadBytes) and \(sentBytes) were sent"
            )
        }
        acknowledgedBytes = bytes
    }

    /// Pieces that are to be sent again.
    func sendAgain(_ pieces: RangeList<UInt64>) throws(ProtocolProblem) {
        guard pieces.limit == file.count else { throw .malformed("pieces that the file does not have") }
        repeats += pieces.count
        for range in pieces { _ = try? missing.insert(range.range) }
    }
}
