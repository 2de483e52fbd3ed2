internal import CDistribution
internal import CMachine
internal import Fragments
internal import Glibc
internal import Machine

/// A file on its way in: its bytes lie in a part file in the state directory until all of them are verified.
final class IncomingFile {
    let announcement: FileAnnouncement
    /// How many pieces it has.
    let count: UInt64
    private let directory: OutputDirectory
    private let parts: [String]
    /// What its files in the state directory are called, which says nothing but who they belong to.
    private let label: String
    private(set) var descriptor: Int32
    private var journal: PieceJournal?
    /// Whether a finished file of this name, size and time is being looked at, and nothing is written.
    private(set) var isExisting = false

    private var computed: [TreeHash], expected: [TreeHash]
    /// Pieces whose bytes are here, whose hash the sender has said, and for which both are so and agree.
    private(set) var arrived: RangeList<UInt64>, announced: RangeList<UInt64>, verified: RangeList<UInt64>
    /// Pieces whose bytes are coming in now, by whichever connection.
    var arriving: Set<UInt64> = []
    /// Pieces that are said to be here and are to be looked at before anybody is told.
    private(set) var doubtful: RangeList<UInt64>
    var root: TreeHash?
    /// Pieces that arrived damaged since the last receipt.
    var damagedPieces: UInt64 = 0
    /// Bytes of which the sender has been told; nil before it has been told what is here.
    var toldBytes: UInt64?

    /// The root over the hashes of the pieces that are here.
    var evidence: TreeHash { .root(of: arrived.flatMap { computed[Int($0.lowerBound)..<Int($0.upperBound)] }) }
    /// Whether all pieces are here and verified.
    var isWhole: Bool { verified.lengthSum == count }
    /// Verified bytes.
    var verifiedBytes: UInt64 {
        let short = count * Piece.byteCount - announcement.size
        return verified.lengthSum * Piece.byteCount - (count > 0 && verified.contains(count - 1) ? short : 0)
    }

    /// Finds what is there of it, and makes room for the rest.
    ///
    /// - Parameters:
    ///   - name: the name to give it; nil for the sender's.
    ///   - looksBack: whether what is in doubt is looked at, and told; otherwise it is received anew.
    init(
        _ announcement: FileAnnouncement, in directory: OutputDirectory, name: String? = nil, looksBack: Bool = true
    ) throws(Refusal) {
        self.announcement = announcement
        self.directory = directory
        parts = try OutputDirectory.parts(of: name ?? announcement.name)
        label = String("\(TreeHash.of(Array(announcement.name.utf8)))".prefix(32))
        count = Piece.count(ofSize: announcement.size)
        computed = Array(repeating: TreeHash(), count: Int(count))
        expected = computed
        (arrived, announced) = (RangeList(limit: count), RangeList(limit: count))
        (verified, doubtful) = (RangeList(limit: count), RangeList(limit: count))
        descriptor = -1
        if looksBack, let file = directory.existing(parts), !openExisting(file) { close(file) }
        if !isExisting { try openPart() }
        if !looksBack { doubtful = RangeList(limit: count) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Takes a finished file of the same size and time as what is going to be sent: it will be looked at instead.
    private func openExisting(_ file: Int32) -> Bool {
        var status = stat()
        guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            UInt64(status.st_size) == announcement.size, count > 0,
            Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec) == announcement.modified
        else { return false }
        isExisting = true
        descriptor = file
        _ = try? doubtful.insert(0..<count)
        return true
    }

    private func openPart() throws(Refusal) {
        descriptor = unsafe spillway_open_beneath(
            directory.state, label + ".part", O_RDWR | O_CREAT | O_CLOEXEC, 0o600, 0)
        guard descriptor >= 0 else { throw Refusal(-descriptor, "cannot make the part file") }
        CrashPoint.receivePartCreated.pass()
        do throws(SystemError) {
            journal = try PieceJournal(label + ".pieces", in: directory.state, for: announcement)
        } catch {
            throw Refusal(error.code, "cannot keep a journal")
        }
        CrashPoint.receiveJournalCreated.pass()
        guard let journal else { return }
        if ftruncate(descriptor, off_t(announcement.size)) != 0 { throw Refusal(errno, "cannot make room") }
        if count > 1 {
            let status = spillway_reserve_space(descriptor, announcement.size)
            if status != 0 {
                discard()
                throw Refusal(-status, "cannot make room for \(announcement.size) bytes")
            }
        }
        for (piece, hash) in journal.hashes { computed[Int(piece)] = hash }
        if journal.isOfThisBoot { arrived = journal.pieces } else { doubtful = journal.pieces }
    }

    // ---- what is there already

    /// The next piece to look at.
    var nextDoubtful: UInt64? { doubtful.first?.lowerBound }

    /// Looks at one piece that is said to be here.
    func examine(_ hasher: inout PieceHasher, _ memory: UnsafeMutableRawPointer) {
        guard let piece = nextDoubtful else { return }
        _ = try? doubtful.erase(piece..<piece + 1)
        let range = Piece.bytes(piece..<piece + 1, ofSize: announcement.size)
        let place = unsafe memory + PieceHasher.room
        var done = 0
        hasher.begin(at: range.lowerBound)
        while done < range.count {
            let most = min(range.count - done, PieceIntake.memoryByteCount - PieceHasher.room)
            let count = unsafe pread(descriptor, place, most, off_t(range.lowerBound) + off_t(done))
            guard count > 0 else { return }
            unsafe hasher.putRest(before: place)
            unsafe hasher.add(place, byteCount: count)
            done += count
        }
        let hash = hasher.finish(isRoot: count == 1)
        if isExisting { computed[Int(piece)] = hash } else if hash != computed[Int(piece)] { return }
        _ = try? arrived.insert(piece..<piece + 1)
        // The sender may have said its hash meanwhile; what differs does not count as here.
        if announced.contains(piece) { _ = verify(piece) }
    }

    // ---- pieces

    /// Where to write a piece; -1 if it is not wanted.
    func place(of piece: UInt64) -> Int32 {
        isExisting || verified.contains(piece) || arriving.contains(piece) ? -1 : descriptor
    }

    /// A piece is written. False if it is not what the sender says it is.
    func take(_ piece: UInt64, _ hash: TreeHash) throws(Refusal) -> Bool {
        CrashPoint.receivePieceWritten.pass()
        computed[Int(piece)] = hash
        _ = try? arrived.insert(piece..<piece + 1)
        if announced.contains(piece), !verify(piece) { return false }
        do throws(SystemError) {
            // Noted before the sender has said its hash, too: when the transfer breaks off, the next one will say it.
            try journal?.add(piece, hash)
        } catch {
            throw Refusal(error.code, "cannot keep a journal")
        }
        CrashPoint.receivePieceNoted.pass()
        return true
    }

    /// The sender says these hashes; what is not right of what is here is returned.
    func expect(_ hashes: [TreeHash], from first: UInt64) -> [UInt64] {
        var wrong: [UInt64] = []
        for (place, hash) in hashes.enumerated() {
            let piece = first + UInt64(place)
            expected[Int(piece)] = hash
            _ = try? announced.insert(piece..<piece + 1)
            if arrived.contains(piece), !verified.contains(piece), !verify(piece) { wrong.append(piece) }
        }
        return wrong
    }

    private func verify(_ piece: UInt64) -> Bool {
        guard computed[Int(piece)] == expected[Int(piece)] else {
            _ = try? arrived.erase(piece..<piece + 1)
            return false
        }
        _ = try? verified.insert(piece..<piece + 1)
        return true
    }

    /// The sender says the root and no hashes: if it is the root of what is here, all of it is right.
    func trustRoot() {
        guard arrived.lengthSum == count, TreeHash.root(of: computed) == root else { return }
        announced = arrived
        verified = arrived
    }

    /// The root of what is here; zeros while something is missing.
    var presentRoot: TreeHash { arrived.lengthSum == count ? .root(of: computed) : TreeHash() }

    /// A finished file is not the same as what is sent after all: begins anew beside it.
    func startOver() throws(Refusal) {
        close(descriptor)
        descriptor = -1
        isExisting = false
        arrived = RangeList(limit: count)
        verified = arrived
        try openPart()
    }

    // ---- the end

    /// Gives the file its name, if its root is what the sender says.
    ///
    /// - Parameter isDurable: whether the bytes are on disk before that, and the name when this returns.
    func publish(isDurable: Bool) throws(Refusal) -> TreeHash {
        let own = TreeHash.root(of: computed)
        guard own == root else {
            throw Refusal(.rootDiffers, "the root of the pieces is \(own), the sender's \(root.map { "\($0)" } ?? "-")")
        }
        if isExisting {
            // A journal is left of a life that ended right behind the renaming.
            discardState()
            return own
        }
        _ = fchmod(descriptor, mode_t(announcement.mode & 0o777))
        spillway_set_modified(descriptor, announcement.modified)
        if isDurable {
            guard fsync(descriptor) == 0 else { throw Refusal(errno, "cannot sync the file") }
            CrashPoint.receiveSynced.pass()
        }
        try directory.publish(label + ".part", as: parts, isDurable: isDurable)
        directory.removeState(label + ".pieces")
        CrashPoint.receiveJournalRemoved.pass()
        return own
    }

    /// The sender is gone: what has come of the file stays for the next one, and the room that was made for the rest is given back.
    func abandon() {
        guard !isExisting, doubtful.isEmpty else { return }
        if arrived.isEmpty { return discardState() }
        for gap in arrived.gaps(in: 0..<count) {
            let bytes = Piece.bytes(gap, ofSize: announcement.size)
            spillway_give_back_space(descriptor, bytes.lowerBound, UInt64(bytes.count))
        }
    }

    /// Forgets what is there of it.
    func discard() {
        if !isExisting { discardState() }
    }

    private func discardState() {
        directory.removeState(label + ".part")
        directory.removeState(label + ".pieces")
    }
}
