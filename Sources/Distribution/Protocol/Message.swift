internal import Fragments

/// The messages behind the greeting (docs/send-format.md). DATA is not among them: its bytes are never gathered.
enum Message {
    /// What a message is, in the header in front of it.
    enum Kind: UInt16 {
        case hello = 1, welcome, proof, file, have, hashes, data, root, again, progress, done, refused, withdrawn, end
        case forward, forwardFailed
    }

    case file(FileAnnouncement)
    /// Which pieces are here, and the root over their hashes, which nobody can know who does not have them.
    case have(file: UInt32, pieces: RangeList<UInt64>, evidence: TreeHash)
    case hashes(file: UInt32, first: UInt64, [TreeHash])
    case root(file: UInt32, TreeHash)
    case again(file: UInt32, pieces: RangeList<UInt64>)
    case progress(file: UInt32, bytes: UInt64)
    case done(file: UInt32, TreeHash)
    case refused(file: UInt32, Refusal)
    case withdrawn(file: UInt32, String)
    case forward(to: String)
    case forwardFailed(to: String, String)
    case end(EndCode?, String)

    /// Bytes in front of every message: how long it is, and what.
    static var headerCount: Int { 8 }
    /// The most bytes of a message that is not DATA.
    static var greatest: Int { 1 << 20 }
    /// Hashes in one message.
    static var hashesAtOnce: Int { 1024 }

    /// A whole message.
    static func framed(_ kind: Kind, _ body: [UInt8]) -> [UInt8] {
        var frame = WireWriter()
        frame.append(UInt32(body.count))
        frame.append(kind.rawValue)
        frame.append(UInt16(0))
        frame.append(bytes: body)
        return frame.bytes
    }

    /// What stands in front of bytes of a file: header and place. The bytes follow.
    static func dataHeader(file: UInt32, offset: UInt64, byteCount: UInt64) -> [UInt8] {
        var frame = WireWriter()
        frame.append(UInt32(16 + byteCount))
        frame.append(Kind.data.rawValue)
        frame.append(UInt16(0))
        frame.append(file)
        frame.append(UInt32(0))
        frame.append(offset)
        return frame.bytes
    }

    /// The whole message.
    func encoded() -> [UInt8] {
        var body = WireWriter()
        let kind: Kind
        switch self {
        case .file(let announcement):
            kind = .file
            announcement.write(to: &body)
        case .have(let file, let pieces, let evidence):
            kind = .have
            body.append(file)
            body.append(bytes: evidence.bytes)
            body.append(bytes: pieces.serialized())
        case .again(let file, let pieces):
            kind = .again
            body.append(file)
            body.append(bytes: pieces.serialized())
        case .hashes(let file, let first, let hashes):
            kind = .hashes
            body.append(file)
            body.append(UInt32(hashes.count))
            body.append(first)
            for hash in hashes { body.append(bytes: hash.bytes) }
        case .root(let file, let root), .done(let file, let root):
            if case .root = self { kind = .root } else { kind = .done }
            body.append(file)
            body.append(bytes: root.bytes)
        case .progress(let file, let bytes):
            kind = .progress
            body.append(file)
            body.append(bytes)
        case .refused(let file, let refusal):
            kind = .refused
            body.append(file)
            body.append(refusal.code.rawValue)
            body.append(text: Self.cut(refusal.text))
        case .withdrawn(let file, let text):
            kind = .withdrawn
            body.append(file)
            body.append(text: Self.cut(text))
        case .forward(let address):
            kind = .forward
            body.append(text: address)
        case .forwardFailed(let address, let text):
            kind = .forwardFailed
            body.append(text: address)
            body.append(text: Self.cut(text))
        case .end(let code, let text):
            kind = .end
            body.append((code ?? .leaving).rawValue)
            body.append(text: Self.cut(text))
        }
        return Self.framed(kind, body.bytes)
    }

    /// At most 200 bytes of a sentence.
    private static func cut(_ text: String) -> String { String(decoding: text.utf8.prefix(200), as: UTF8.self) }
}

/// A file that is going to be sent.
struct FileAnnouncement {
    /// What it is.
    enum Kind: UInt8 { case file, directory }

    var number: UInt32
    var kind: Kind
    /// The permission bits.
    var mode: UInt32
    var size: UInt64
    /// When it was changed, nanoseconds since 1970 UTC.
    var modified: Int64
    /// Relative, parts separated by slashes.
    var name: String

    /// The largest file: its hashes fill 32 MiB.
    static var greatestSize: UInt64 { 1 << 40 }

    func write(to body: inout WireWriter) {
        body.append(number)
        body.append(UInt32(kind.rawValue))
        body.append(mode)
        body.append(size)
        body.append(modified)
        body.append(text: name)
    }

    init(number: UInt32, kind: Kind, mode: UInt32, size: UInt64, modified: Int64, name: String) {
        (self.number, self.kind, self.mode) = (number, kind, mode)
        (self.size, self.modified, self.name) = (size, modified, name)
    }

    init(_ reader: inout WireReader) throws(ProtocolProblem) {
        number = try reader.number()
        guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: try reader.number() as UInt32)) else {
            throw .malformed("a file of an unknown kind")
        }
        self.kind = kind
        mode = try reader.number()
        size = try reader.number()
        modified = try reader.number()
        name = try reader.text(limit: 4096)
        guard size <= Self.greatestSize else { throw .limit("a file of \(size) bytes") }
    }
}

/// Why a receiver does not take a file.
struct Refusal: Error {
    /// The kind of reason (docs/send-format.md, "REFUSED").
    enum Code: UInt16 { case name, full, inputOutput, rootDiffers, busy, other }

    var code: Code
    var text: String

    init(_ code: Code, _ text: String) { (self.code, self.text) = (code, text) }
}
