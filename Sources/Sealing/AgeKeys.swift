internal import Crypto

/// Somebody a file is sealed for: an X25519 public key, written `age1...`.
public struct AgeRecipient: Sendable, Equatable, CustomStringConvertible {
    let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Understands `age1...`.
    public init(_ text: String) throws(AgeError) {
        guard let bytes = Bech32.bytes(prefix: "age", text), bytes.count == 32 else {
            throw .badKey("'\(text)' is no recipient; one begins with age1, as 'spillway keygen' prints it")
        }
        self.bytes = bytes
    }

    /// As it is written.
    public var description: String { Bech32.text(prefix: "age", bytes) }
}

/// Who can open what was sealed for them: an X25519 private key, written `AGE-SECRET-KEY-1...`.
public struct AgeIdentity: Sendable {
    let key: Curve25519.KeyAgreement.PrivateKey

    /// A new one.
    public init() { key = Curve25519.KeyAgreement.PrivateKey() }

    /// Understands `AGE-SECRET-KEY-1...`.
    public init(_ text: String) throws(AgeError) {
        // Never the text itself: it may be a secret with a slip of the pen.
        let fault = AgeError.badKey("no identity; one begins with AGE-SECRET-KEY-1")
        guard let bytes = Bech32.bytes(prefix: "age-secret-key-", text), bytes.count == 32,
            let key = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: bytes)
        else { throw fault }
        self.key = key
    }

    /// The public half.
    public var recipient: AgeRecipient { AgeRecipient(bytes: Array(key.publicKey.rawRepresentation)) }

    /// The private half as it is written.
    public var secret: String { Bech32.text(prefix: "age-secret-key-", Array(key.rawRepresentation)).uppercased() }

    /// All identities of a file as `age-keygen` writes it: one on a line, blank lines and comments between.
    public static func all(in text: String) throws(AgeError) -> [AgeIdentity] {
        var found: [AgeIdentity] = []
        // By bytes: a carriage return and a line break are one character to a String.
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, bytes) in lines.enumerated() {
            var line = Substring(bytes)
            while line.last?.isWhitespace == true { line.removeLast() }
            if line.isEmpty || line.hasPrefix("#") { continue }
            do throws(AgeError) {
                found.append(try AgeIdentity(String(line)))
            } catch {
                throw .badKey("line \(index + 1): \(error)")
            }
        }
        if found.isEmpty { throw .badKey("no identity in it") }
        return found
    }
}
