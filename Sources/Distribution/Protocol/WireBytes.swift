/// Builds the body of a message: numbers little endian, texts with their length in front.
struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ number: some FixedWidthInteger) {
        let little = number.littleEndian
        unsafe withUnsafeBytes(of: little) { unsafe bytes.append(contentsOf: $0) }
    }

    mutating func append(bytes more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// Two bytes of length, then UTF-8.
    mutating func append(text: String) {
        append(UInt16(text.utf8.count))
        append(bytes: text.utf8)
    }
}

/// Reads what `WireWriter` wrote, or what somebody else sent instead.
struct WireReader {
    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - place }

    mutating func take(_ count: Int) throws(ProtocolProblem) -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else { throw .malformed("a message ends early") }
        place += count
        return bytes[place - count..<place]
    }

    mutating func number<Number: FixedWidthInteger>() throws(ProtocolProblem) -> Number {
        try take(Number.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
    }

    /// A text of at most this many bytes; it must be UTF-8.
    mutating func text(limit: Int) throws(ProtocolProblem) -> String {
        let count: UInt16 = try number()
        guard Int(count) <= limit else { throw .malformed("a text of \(count) bytes, more than \(limit)") }
        let bytes = try take(Int(count))
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed("a text that is no UTF-8") }
        return text
    }

    /// Nothing may be left.
    func end() throws(ProtocolProblem) {
        if remaining > 0 { throw .malformed("\(remaining) bytes too many in a message") }
    }
}

/// Why a connection cannot go on: what the peer is told by END.
enum ProtocolProblem: Error, CustomStringConvertible {
    /// The peer speaks another version.
    case version(UInt16)
    /// It does not have the token, or did not prove it.
    case proof
    /// Something that this protocol does not say, or not here.
    case malformed(String)
    /// More than the limits allow.
    case limit(String)
    /// It says it has what it cannot have.
    case falseClaim(String)
    /// The peer ended the connection with these words.
    case ended(EndCode?, String)
    /// The connection broke.
    case broken(String)

    var description: String {
        switch self {
        case .version(let version): "speaks version \(version) of the protocol; this side speaks \(Greeting.version)"
        case .proof: "does not have the token"
        case .malformed(let what): "what was sent makes no sense: \(what)"
        case .limit(let what): "beyond a limit: \(what)"
        case .falseClaim(let what): "claims what it does not have: \(what)"
        case .ended(let code, let text): text.isEmpty ? "ended by the peer (\(code.map { "\($0)" } ?? "?"))" : text
        case .broken(let why): why
        }
    }

    /// What the peer is told.
    var endCode: EndCode {
        switch self {
        case .version: .version
        case .proof: .proof
        case .malformed: .malformed
        case .limit: .limit
        case .falseClaim: .falseClaim
        case .ended, .broken: .leaving
        }
    }

    /// Whether it is of no use to try again.
    var isFinal: Bool {
        switch self {
        case .version, .proof, .malformed, .limit, .falseClaim: true
        case .ended(let code, _):
            switch code {
            case .version, .proof, .malformed, .limit, .falseClaim: true
            default: false
            }
        case .broken: false
        }
    }
}

/// Why a side ends a connection (docs/send-format.md, "END").
enum EndCode: UInt16, CaseIterable {
    case done, leaving, version, proof, malformed, limit, falseClaim, busy
}
