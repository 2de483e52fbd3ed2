internal import Crypto

/// The header of a file in the age v1 format (age-encryption.org/v1): for each recipient the file key in an envelope of its
/// own, and a MAC over all of it.
struct AgeHeader {
    /// The most bytes a header takes here; one recipient takes about 100.
    static let most = 1 << 16
    private static let intro = "age-encryption.org/v1"
    private static let info = Array("age-encryption.org/v1/X25519".utf8)

    /// 16 bytes that everything else is derived from.
    let fileKey: SymmetricKey
    /// Bytes of the header, its last line break included.
    let byteCount: Int

    // ---- writing -------------------------------------------------------------------------------------------------

    /// A new file key, sealed for these recipients.
    static func make(for recipients: [AgeRecipient]) throws(AgeError) -> (header: AgeHeader, bytes: [UInt8]) {
        let key = SymmetricKey(size: .bits128)
        var text = intro + "\n"
        for recipient in recipients { text += try stanza(key, recipient) }
        text += "---"
        text += " " + Base64.text(mac(key, Array(text.utf8))) + "\n"
        let bytes = Array(text.utf8)
        return (AgeHeader(fileKey: key, byteCount: bytes.count), bytes)
    }

    private static func stanza(_ fileKey: SymmetricKey, _ recipient: AgeRecipient) throws(AgeError) -> String {
        let ephemeral = Curve25519.KeyAgreement.PrivateKey()
        let share = Array(ephemeral.publicKey.rawRepresentation)
        guard let key = wrappingKey(ephemeral, peer: recipient.bytes, salt: share + recipient.bytes),
            let nonce = try? ChaChaPoly.Nonce(data: [UInt8](repeating: 0, count: 12)),
            let box = unsafe try? ChaChaPoly.seal(
                fileKey.withUnsafeBytes { unsafe Array($0) }, using: key, nonce: nonce)
        else { throw .badKey("\(recipient): no point that a secret can be shared with") }
        return "-> X25519 \(Base64.text(share))\n\(Base64.text(box.ciphertext + box.tag))\n"
    }

    private static func wrappingKey(
        _ own: Curve25519.KeyAgreement.PrivateKey, peer: [UInt8], salt: [UInt8]
    ) -> SymmetricKey? {
        guard let point = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: peer),
            let secret = try? own.sharedSecretFromKeyAgreement(with: point)
        else { return nil }
        // A point of low order gives a secret everybody knows.
        guard unsafe secret.withUnsafeBytes({ unsafe $0.contains { $0 != 0 } }) else { return nil }
        return secret.hkdfDerivedSymmetricKey(
            using: SHA256.self, salt: salt, sharedInfo: info, outputByteCount: 32)
    }

    private static func mac(_ fileKey: SymmetricKey, _ bytes: [UInt8]) -> [UInt8] {
        let key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: fileKey, salt: [UInt8](), info: Array("header".utf8), outputByteCount: 32)
        return Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key))
    }

    // ---- reading -------------------------------------------------------------------------------------------------

    /// Opens the header that these bytes begin with; nil if they end before it does.
    static func open(_ bytes: [UInt8], with identities: [AgeIdentity]) throws(AgeError) -> AgeHeader? {
        var lines = LineReader(bytes)
        guard let first = try lines.next() else { return nil }
        guard first.elementsEqual(intro.utf8) else { throw .badHeader("it does not begin with \(intro)") }
        var key: SymmetricKey?
        while true {
            let start = lines.place
            guard let line = try lines.next() else { return nil }
            if line.starts(with: "--- ".utf8) {
                guard let key else { throw .noIdentityMatches }
                let text = Array(bytes[..<(start + 3)])
                guard let code = Base64.bytes(line.dropFirst(4)), HMAC<SHA256>.isEqual(code, mac(key, text)) else {
                    throw .badHeader("its header was changed")
                }
                return AgeHeader(fileKey: key, byteCount: lines.place)
            }
            guard line.starts(with: "-> ".utf8) else { throw .badHeader("a line that is neither recipient nor end") }
            guard let body = try body(&lines) else { return nil }
            let words = line.dropFirst(3).split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            if key == nil, words.count == 2, words[0].elementsEqual("X25519".utf8) {
                key = try fileKey(share: words[1], body: body, identities)
            }
        }
    }

    /// The lines behind a recipient's: full ones of 64 characters, then one that is shorter.
    private static func body(_ lines: inout LineReader) throws(AgeError) -> [UInt8]? {
        var text: [UInt8] = []
        while true {
            guard let line = try lines.next() else { return nil }
            guard line.count <= 64 else { throw .badHeader("a line that is too long") }
            text += line
            if line.count < 64 { break }
        }
        guard let bytes = Base64.bytes(text) else { throw .badHeader("a line that is not base64") }
        return bytes
    }

    private static func fileKey(
        share: ArraySlice<UInt8>, body: [UInt8], _ identities: [AgeIdentity]
    ) throws(AgeError) -> SymmetricKey? {
        guard let share = Base64.bytes(share), share.count == 32, body.count == 32 else {
            throw .badHeader("a recipient that is malformed")
        }
        for identity in identities {
            guard let key = wrappingKey(identity.key, peer: share, salt: share + identity.recipient.bytes),
                let nonce = try? ChaChaPoly.Nonce(data: [UInt8](repeating: 0, count: 12)),
                let box = try? ChaChaPoly.SealedBox(nonce: nonce, ciphertext: body[..<16], tag: body[16...]),
                let opened = try? ChaChaPoly.open(box, using: key)
            else { continue }
            return SymmetricKey(data: opened)
        }
        return nil
    }

    /// Lines of the header; nil where the bytes end before a line does.
    private struct LineReader {
        let bytes: [UInt8]
        var place = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        mutating func next() throws(AgeError) -> ArraySlice<UInt8>? {
            guard let end = bytes[place...].firstIndex(of: UInt8(ascii: "\n")) else {
                if bytes.count >= AgeHeader.most { throw .badHeader("its header has no end") }
                return nil
            }
            defer { place = end + 1 }
            return bytes[place..<end]
        }
    }
}

extension HMAC<SHA256> {
    /// Compares two codes in a time that does not depend on where they differ.
    static func isEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard one.count == other.count else { return false }
        return zip(one, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
