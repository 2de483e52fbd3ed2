internal import Crypto

/// The payload of a file in the age v1 format: 16 bytes of nonce, then chunks of 64 KiB, each sealed by itself with its
/// number, so that any range can be opened, and every chunk of it checked, without the rest.
public struct AgePayload: Sendable {
    /// Bytes of a whole chunk, plain and sealed.
    public static let plainChunk = 64 << 10
    /// Bytes of a whole chunk as it is stored.
    public static let sealedChunk = plainChunk + 16
    /// Bytes before the first chunk.
    static let nonceBytes = 16

    private let key: SymmetricKey
    /// Where the first chunk begins in the file.
    public let start: UInt64

    init(_ header: AgeHeader, nonce: [UInt8]) {
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: header.fileKey, salt: nonce, info: Array("payload".utf8), outputByteCount: 32)
        start = UInt64(header.byteCount + Self.nonceBytes)
    }

    /// Begins a new file: what it begins with, and how its chunks are sealed.
    public static func make(for recipients: [AgeRecipient]) throws(AgeError) -> (payload: AgePayload, start: [UInt8]) {
        precondition(!recipients.isEmpty, "sealed for somebody")
        let (header, bytes) = try AgeHeader.make(for: recipients)
        var generator = SystemRandomNumberGenerator()
        let nonce = (0..<nonceBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
        return (AgePayload(header, nonce: nonce), bytes + nonce)
    }

    /// Opens the file that these bytes begin with; nil if they end before its first chunk.
    public static func open(_ bytes: [UInt8], with identities: [AgeIdentity]) throws(AgeError) -> AgePayload? {
        guard let header = try AgeHeader.open(bytes, with: identities) else { return nil }
        guard bytes.count >= header.byteCount + nonceBytes else { return nil }
        return AgePayload(header, nonce: Array(bytes[header.byteCount..<(header.byteCount + nonceBytes)]))
    }

    /// Seals a chunk; every one but the last is whole.
    public func seal(_ plain: some Collection<UInt8>, number: UInt64, isLast: Bool) -> [UInt8] {
        precondition(plain.count <= Self.plainChunk && (isLast || plain.count == Self.plainChunk), "a chunk's length")
        // Neither of the two can fail: the nonce has 12 bytes, and the text is not as long as the cipher allows.
        let nonce = try! ChaChaPoly.Nonce(data: Self.nonce(number, isLast))
        let box = try! ChaChaPoly.seal(Array(plain), using: key, nonce: nonce)
        return Array(box.ciphertext) + Array(box.tag)
    }

    /// Opens a chunk.
    public func open(
        _ sealed: some Collection<UInt8>, number: UInt64, isLast: Bool
    ) throws(AgeError) -> [UInt8] {
        guard sealed.count >= 16, sealed.count <= Self.sealedChunk, isLast || sealed.count == Self.sealedChunk else {
            throw .truncated
        }
        let bytes = Array(sealed)
        guard let nonce = try? ChaChaPoly.Nonce(data: Self.nonce(number, isLast)),
            let box = try? ChaChaPoly.SealedBox(
                nonce: nonce, ciphertext: bytes[..<(bytes.count - 16)], tag: bytes[(bytes.count - 16)...]),
            let plain = try? ChaChaPoly.open(box, using: key)
        else { throw .badChunk(number) }
        // Only an empty file ends with an empty chunk (the format's rule, so that each text has one form).
        if plain.isEmpty, number > 0 { throw .badChunk(number) }
        return Array(plain)
    }

    /// Eleven bytes of number, most significant first, and one that says whether it is the last.
    private static func nonce(_ number: UInt64, _ isLast: Bool) -> [UInt8] {
        [0, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * (7 - $0))) } + [isLast ? 1 : 0]
    }
}

/// Where chunks lie in a sealed file of a known length.
public struct AgeLayout: Sendable, Equatable {
    /// Where the first chunk begins.
    public let start: UInt64
    /// Chunks in the file, at least one.
    public let chunks: UInt64
    /// Bytes of the opened file.
    public let plainLength: UInt64
    private let length: UInt64

    /// The layout of a file of this length whose first chunk begins there.
    public init(start: UInt64, fileLength: UInt64) throws(AgeError) {
        guard fileLength >= start + 16 else { throw .truncated }
        let body = fileLength - start
        let whole = UInt64(AgePayload.sealedChunk)
        let rest = body % whole
        // A last chunk holds its tag and, unless it is the only one, something more.
        guard rest == 0 || rest > 16 || (rest == 16 && body == 16) else { throw .truncated }
        self.start = start
        length = fileLength
        chunks = (body + whole - 1) / whole
        plainLength = body - chunks * 16
    }

    /// Where a chunk lies in the file.
    public func range(ofChunk number: UInt64) -> Range<UInt64> {
        let from = start + number * UInt64(AgePayload.sealedChunk)
        return from..<min(from + UInt64(AgePayload.sealedChunk), length)
    }

    /// Whether it is the last chunk.
    public func isLast(_ number: UInt64) -> Bool { number == chunks - 1 }

    /// The chunks that a range of the opened file lies in; an empty range lies in none.
    public func chunks(of range: Range<UInt64>) -> Range<UInt64> {
        guard !range.isEmpty else { return 0..<0 }
        let chunk = UInt64(AgePayload.plainChunk)
        return range.lowerBound / chunk..<(range.upperBound - 1) / chunk + 1
    }
}
