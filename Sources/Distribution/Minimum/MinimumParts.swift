internal import CDistribution
internal import Machine

/// A file of a ``MinimumSender``.
final class MinimumFile {
    let path: String
    let announcement: FileAnnouncement
    let identity: spillway_look
    private(set) var hashes: [TreeHash] = []
    private(set) var root: TreeHash?
    var wasSent = false
    var failure: String?

    init(_ path: String, _ announcement: FileAnnouncement, _ identity: spillway_look) {
        (self.path, self.announcement, self.identity) = (path, announcement, identity)
    }

    /// Hashes what was sent, once.
    func hash(_ bytes: UnsafeRawPointer) {
        guard root == nil else { return }
        var hasher = PieceHasher()
        let size = announcement.size
        for piece in 0..<Piece.count(ofSize: size) {
            let range = Piece.bytes(piece..<piece + 1, ofSize: size)
            hasher.begin(at: range.lowerBound)
            unsafe hasher.add(bytes + Int(range.lowerBound), byteCount: range.count)
            hashes.append(hasher.finish(isRoot: size <= Piece.byteCount))
        }
        root = TreeHash.root(of: hashes)
    }
}

/// A receiver of a ``MinimumSender``.
final class MinimumPeer {
    let endpoint: Endpoint
    /// Its place in the ring's table.
    let slot: UInt32
    var status: PeerStatus
    /// What is said to it with the next call, and the file whose fate it will tell then.
    var pending: [UInt8] = []
    var pendingFile: MinimumFile?
    /// Files that arrived damaged.
    var damaged: Set<UInt32> = []

    init(_ address: String, _ endpoint: Endpoint, slot: UInt32) {
        (self.endpoint, self.slot) = (endpoint, slot)
        status = PeerStatus(address: address)
    }

    var isOver: Bool { status.state == .failed || status.state == .done }
    /// Whether hashes are on their way to it, so that it can say which pieces are damaged.
    var expectsDamage = false

    func fail(_ why: String) {
        status.state = .failed
        status.error = why
    }
}

/// RECEIPT: what a receiver answers to a sender that wants answers of one length (docs/send-format.md).
struct Receipt {
    /// What it is about.
    enum Status: UInt16 { case arrived, published, refused }

    var file: UInt32
    var status: Status
    /// Why it was refused.
    var reason = Refusal.Code.other
    /// The root over what has arrived.
    var root: TreeHash
    var damagedPieces: UInt64 = 0

    static let byteCount = 64

    func encoded() -> [UInt8] {
        var body = WireWriter()
        body.append(file)
        body.append(status.rawValue)
        body.append(reason.rawValue)
        body.append(bytes: root.bytes)
        body.append(damagedPieces)
        body.append(bytes: [UInt8](repeating: 0, count: Self.byteCount - body.bytes.count))
        return Message.framed(.receipt, body.bytes)
    }

    init(file: UInt32, status: Status, root: TreeHash, reason: Refusal.Code = .other, damagedPieces: UInt64 = 0) {
        (self.file, self.status, self.root, self.reason) = (file, status, root, reason)
        self.damagedPieces = damagedPieces
    }

    /// Reads a whole message; nil if it is none.
    init?(_ bytes: [UInt8]) {
        var reader = WireReader(bytes)
        guard let length = try? reader.number() as UInt32, Int(length) == Self.byteCount,
            let kind = try? reader.number() as UInt16, kind == Message.Kind.receipt.rawValue,
            (try? reader.number() as UInt16) != nil, let file = try? reader.number() as UInt32,
            let code = try? reader.number() as UInt16, let status = Status(rawValue: code),
            let why = try? reader.number() as UInt16, let root = try? reader.take(32),
            let damaged = try? reader.number() as UInt64
        else { return nil }
        (self.file, self.status, reason) = (file, status, Refusal.Code(rawValue: why) ?? .other)
        (self.root, damagedPieces) = (TreeHash(root), damaged)
    }
}
