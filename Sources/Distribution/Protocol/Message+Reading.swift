internal import Fragments

extension Message {
    /// Understands the body of a message.
    init(_ kind: Kind, _ body: [UInt8]) throws(ProtocolProblem) {
        var reader = WireReader(body)
        switch kind {
        case .file: self = .file(try FileAnnouncement(&reader))
        case .have:
            let file: UInt32 = try reader.number()
            let evidence = TreeHash(try reader.take(32))
            self = .have(file: file, pieces: try reader.pieces(), evidence: evidence)
        case .again: self = .again(file: try reader.number(), pieces: try reader.pieces())
        case .hashes: self = try Self.hashes(&reader)
        case .root: self = .root(file: try reader.number(), TreeHash(try reader.take(32)))
        case .done: self = .done(file: try reader.number(), TreeHash(try reader.take(32)))
        case .progress: self = .progress(file: try reader.number(), bytes: try reader.number())
        case .refused:
            let file: UInt32 = try reader.number()
            let code = Refusal.Code(rawValue: try reader.number()) ?? .other
            self = .refused(file: file, Refusal(code, try reader.words()))
        case .withdrawn: self = .withdrawn(file: try reader.number(), try reader.words())
        case .forward: self = .forward(to: try reader.text(limit: 300))
        case .forwardFailed: self = .forwardFailed(to: try reader.text(limit: 300), try reader.words())
        case .end: self = .end(EndCode(rawValue: try reader.number()), try reader.words())
        case .hello, .welcome, .proof, .data, .receipt: throw .malformed("\(kind), which does not belong here")
        }
        try reader.end()
    }

    private static func hashes(_ reader: inout WireReader) throws(ProtocolProblem) -> Message {
        let file: UInt32 = try reader.number()
        let count: UInt32 = try reader.number()
        let first: UInt64 = try reader.number()
        guard count <= hashesAtOnce else { throw .limit("\(count) hashes in one message") }
        var hashes: [TreeHash] = []
        for _ in 0..<count { hashes.append(TreeHash(try reader.take(32))) }
        return .hashes(file: file, first: first, hashes)
    }
}

extension WireReader {
    /// A list of pieces, which takes the rest of the message.
    fileprivate mutating func pieces() throws(ProtocolProblem) -> RangeList<UInt64> {
        let bytes = Array(try take(remaining))
        do throws(FragmentFormatError) {
            return try RangeList<UInt64>(serialized: bytes)
        } catch {
            throw .malformed("a list of pieces: \(error)")
        }
    }

    /// A sentence for people. It goes into logs and onto terminals, and comes from somebody who is not trusted.
    fileprivate mutating func words() throws(ProtocolProblem) -> String {
        try text(limit: 200).printable
    }
}

extension String {
    /// The same with a question mark for each control character.
    var printable: String {
        String(unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : Character($0) })
    }
}
