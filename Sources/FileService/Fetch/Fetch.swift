internal import Glibc
internal import Machine
public import Sealing

/// Fetches a file over HTTP, going on where an earlier attempt ended, and opening it if it is sealed: every chunk is checked
/// before a byte of it is written.
public struct Fetch: Sendable {
    /// A range of bytes, as it is asked for.
    public enum Bytes: Sendable, Equatable {
        case all
        /// From the first number to the second, which is nil for the end; both included.
        case from(UInt64, to: UInt64?)
        /// So many at the end.
        case last(UInt64)

        /// The range in a file of this length; empty if there is nothing of it.
        func range(in length: UInt64) -> Range<UInt64> {
            switch self {
            case .all: return 0..<length
            case .from(let first, let last):
                let end = min(last.map { $0 == .max ? $0 : $0 + 1 } ?? length, length)
                return first < end ? first..<end : 0..<0
            case .last(let count): return length - min(count, length)..<length
            }
        }
    }

    /// What is fetched.
    public var address: HTTPAddress
    /// Where it goes.
    public var output: String
    /// Which part of it; of a sealed file, of what is in it.
    public var bytes = Bytes.all
    /// Who opens it; empty leaves it as it is.
    public var identities: [AgeIdentity] = []
    /// What the server wants to know.
    public var token: String?
    /// Attempts without progress before it is given up.
    public var attempts = 5

    /// Fetches all of a file.
    public init(_ address: HTTPAddress, output: String) {
        self.address = address
        self.output = output
    }

    /// What became of it.
    public struct Outcome: Sendable {
        /// Bytes of the output, and how many of them were there before.
        public var bytes: UInt64 = 0, resumed: UInt64 = 0
        /// Bytes that came over the network as payload.
        public var received: UInt64 = 0
        /// Chunks that were opened and checked.
        public var chunks: UInt64 = 0
        /// Connections that were made.
        public var connections = 0
    }

    /// Fetches it to the end.
    ///
    /// - Parameter progress: called now and then with the bytes there are, and all of them.
    public func run(progress: (UInt64, UInt64) -> Void) throws(FetchError) -> Outcome {
        let part = try PartFile(output)
        var outcome = Outcome()
        outcome.resumed = part.length
        var tries = 0
        while true {
            let before = part.length
            do throws(FetchError) {
                if identities.isEmpty {
                    try fetchPlain(part, &outcome, progress)
                } else {
                    try fetchSealed(part, &outcome, progress)
                }
                try part.complete()
                outcome.bytes = part.length
                return outcome
            } catch {
                tries = part.length > before ? 0 : tries + 1
                guard error.isPassing, tries < attempts else {
                    if part.length == 0 { part.discard() }
                    throw error.of(address)
                }
                Clock.sleep(nanoseconds: 200_000_000 << UInt64(tries))
            }
        }
    }

    // ---- asking --------------------------------------------------------------------------------------------------

    private func ask(_ range: String?, _ outcome: inout Outcome, ifStill tag: String? = nil) throws(FetchError)
        -> HTTPExchange
    {
        var fields = ""
        if let token { fields += "Authorization: Bearer \(token)\r\n" }
        if let range { fields += "Range: bytes=\(range)\r\n" }
        if let tag { fields += "If-Range: \(tag)\r\n" }
        outcome.connections += 1
        let exchange = try HTTPExchange(address, fields: fields)
        if let coding = exchange.field("content-encoding"), coding.lowercased() != "identity" {
            throw FetchError(.data, "it comes encoded (\(coding)), which was not asked for")
        }
        return exchange
    }

    private func refuse(_ exchange: HTTPExchange) -> FetchError {
        let text = (try? exchange.all(most: 512)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        let line = text.split(separator: "\n").first.map(String.init) ?? ""
        return FetchError(.status(exchange.status), "\(address.authority)\(address.target): \(exchange.status) \(line)")
    }

    /// Where an answer's bytes lie, and how long the file is (RFC 9110, section 14.4).
    private func contentRange(_ exchange: HTTPExchange) throws(FetchError) -> (range: Range<UInt64>, length: UInt64) {
        let field = exchange.field("content-range") ?? ""
        let numbers = field.split { !$0.isNumber }.map { UInt64($0) }
        guard field.lowercased().hasPrefix("bytes "), numbers.count == 3, let first = numbers[0], let last = numbers[1],
            let length = numbers[2], first <= last, last < length
        else { throw FetchError(.data, "an answer without a proper Content-Range") }
        return (first..<last + 1, length)
    }

    /// What a state of the file is recognised by; something must be, or a resumed file could be made of two.
    private func tag(_ exchange: HTTPExchange) -> String? {
        guard let tag = exchange.field("etag"), tag.hasPrefix("\"") else { return nil }
        return tag
    }

    // ---- plain files ---------------------------------------------------------------------------------------------

    private func fetchPlain(
        _ part: PartFile, _ outcome: inout Outcome, _ progress: (UInt64, UInt64) -> Void
    ) throws(FetchError) {
        if part.length == 0 || part.tag == nil { return try fetchAnew(part, &outcome, progress) }
        // The length is not known before somebody says it; one byte of the file tells it, and whether it is the same.
        let probe = try ask("0-0", &outcome, ifStill: part.tag)
        guard probe.status == 206, tag(probe) == part.tag else { return try fetchAnew(part, &outcome, progress) }
        let length = try contentRange(probe).length
        let wanted = bytes.range(in: length)
        let total = UInt64(wanted.count)
        guard part.length <= total else { return try fetchAnew(part, &outcome, progress) }
        if part.length == total { return progress(total, total) }
        let first = wanted.lowerBound + part.length
        let exchange = try ask("\(first)-\(wanted.upperBound - 1)", &outcome, ifStill: part.tag)
        guard exchange.status == 206, tag(exchange) == part.tag else { return try fetchAnew(part, &outcome, progress) }
        guard try contentRange(exchange).range == first..<wanted.upperBound else {
            throw FetchError(.data, "another range than the one that was asked for")
        }
        try take(exchange, part, total, &outcome, progress)
    }

    private func fetchAnew(
        _ part: PartFile, _ outcome: inout Outcome, _ progress: (UInt64, UInt64) -> Void
    ) throws(FetchError) {
        let range: String? =
            switch bytes {
            case .all: nil
            case .from(let first, let last): "\(first)-\(last.map(String.init) ?? "")"
            case .last(let count): "-\(count)"
            }
        let exchange = try ask(range, &outcome)
        outcome.resumed = 0
        guard exchange.status == (range == nil ? 200 : 206) else { throw refuse(exchange) }
        if range != nil {
            let answer = try contentRange(exchange)
            guard answer.range == bytes.range(in: answer.length) else {
                throw FetchError(.data, "another range than the one that was asked for")
            }
        }
        // Without a tag nothing can be gone on with, but this one time all of it can come.
        try part.restart(tag(exchange) ?? "none")
        var total = exchange.field("content-length").flatMap { UInt64($0) } ?? 0
        if range != nil { total = UInt64(try contentRange(exchange).range.count) }
        try take(exchange, part, total, &outcome, progress)
    }

    private func take(
        _ exchange: HTTPExchange, _ part: PartFile, _ total: UInt64, _ outcome: inout Outcome,
        _ progress: (UInt64, UInt64) -> Void
    ) throws(FetchError) {
        while let piece = try exchange.next() {
            try part.append(piece)
            outcome.received += UInt64(piece.count)
            progress(part.length, max(total, part.length))
        }
    }

    // ---- sealed files --------------------------------------------------------------------------------------------

    private func fetchSealed(
        _ part: PartFile, _ outcome: inout Outcome, _ progress: (UInt64, UInt64) -> Void
    ) throws(FetchError) {
        let start = try ask("0-\(AgeFetch.headBytes - 1)", &outcome)
        guard start.status == 206, let tag = tag(start) else {
            throw start.status == 206
                ? FetchError(.data, "the server does not say what state of the file this is") : refuse(start)
        }
        let length = try contentRange(start).length
        let sealed = try AgeFetch(try start.all(most: AgeFetch.headBytes), length, identities)
        let wanted = bytes.range(in: sealed.layout.plainLength)
        if wanted.isEmpty, bytes != .all { throw FetchError(.status(416), "nothing of the file is in that range") }
        if part.tag != tag {
            try part.restart(tag)
            outcome.resumed = 0
        }
        let total = UInt64(wanted.count)
        if part.length > total { try part.cut(to: 0) }
        var number = sealed.layout.chunks(of: wanted).lowerBound
        if part.length > 0 {
            // What was written was checked; the next chunk begins where a chunk begins.
            number = (wanted.lowerBound + part.length) / UInt64(AgePayload.plainChunk)
            let boundary = number * UInt64(AgePayload.plainChunk)
            try part.cut(to: boundary > wanted.lowerBound ? boundary - wanted.lowerBound : 0)
            outcome.resumed = min(outcome.resumed, part.length)
            if part.length == total, total > 0 { return progress(total, total) }
        }
        let last = wanted.isEmpty ? 0 : sealed.layout.chunks(of: wanted).upperBound - 1
        let range = sealed.layout.range(ofChunk: number).lowerBound..<sealed.layout.range(ofChunk: last).upperBound
        let exchange = try ask("\(range.lowerBound)-\(range.upperBound - 1)", &outcome, ifStill: tag)
        guard exchange.status == 206, self.tag(exchange) == tag, try contentRange(exchange).range == range else {
            throw FetchError(.data, "the file was changed while it was fetched")
        }
        var rest: [UInt8] = []
        while number <= last {
            let count = sealed.layout.range(ofChunk: number).count
            while rest.count < count {
                guard let piece = try exchange.next() else { throw FetchError(.connection, "the answer is too short") }
                rest += piece
                outcome.received += UInt64(piece.count)
            }
            let plain = try sealed.open(rest[..<count], number)
            rest.removeFirst(count)
            try part.append(Self.cut(plain, number, to: wanted))
            outcome.chunks += 1
            number += 1
            progress(part.length, total)
        }
    }

    /// What of a chunk lies in the range.
    private static func cut(_ plain: [UInt8], _ number: UInt64, to wanted: Range<UInt64>) -> ArraySlice<UInt8> {
        let base = number * UInt64(AgePayload.plainChunk)
        let from = wanted.lowerBound > base ? Int(min(wanted.lowerBound - base, UInt64(plain.count))) : 0
        let to = wanted.upperBound > base ? Int(min(wanted.upperBound - base, UInt64(plain.count))) : 0
        return plain[min(from, to)..<to]
    }
}
