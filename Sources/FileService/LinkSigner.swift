internal import Crypto

/// Who may ask: whoever knows the token, and whoever has a link that somebody made who knows it.
///
/// A link is the path with `expires`, seconds since 1970, and `signature`, the HMAC-SHA256 (RFC 2104) over both under the
/// token, in hexadecimal.
struct LinkSigner: Sendable {
    private let key: SymmetricKey
    private let token: [UInt8]

    init(token: String) {
        self.token = Array(token.utf8)
        key = SymmetricKey(data: self.token)
    }

    /// Whether an Authorization field carries the token (RFC 6750). It takes the same time whatever the answer.
    func allows(authorization field: String) -> Bool {
        let parts = field.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return false }
        // Both sides are hashed, so that neither length nor content shows in the time.
        let given = HMAC<SHA256>.authenticationCode(for: Array(parts[1].utf8), using: key)
        return HMAC<SHA256>.isValidAuthenticationCode(given, authenticating: token, using: key)
    }

    /// Whether a target is a link that holds.
    ///
    /// - Parameter now: seconds since 1970.
    func allows(_ target: RequestTarget, now: UInt64) -> Bool {
        guard let text = target.value("expires"), let expires = UInt64(text), expires > now,
            let signature = target.value("signature").flatMap(Self.bytes)
        else { return false }
        return HMAC<SHA256>.isValidAuthenticationCode(
            signature, authenticating: Self.message(target.path, expires), using: key)
    }

    /// The query of a link to a path.
    func query(for path: [UInt8], expires: UInt64) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: Self.message(path, expires), using: key)
        let signature = code.map { byte in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return "expires=\(expires)&signature=\(signature.joined())"
    }

    private static func message(_ path: [UInt8], _ expires: UInt64) -> [UInt8] {
        Array("spillway link\n\(expires)\n/".utf8) + path
    }

    private static func bytes(_ text: String) -> [UInt8]? {
        let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == 64, !digits.contains(nil) else { return nil }
        return stride(from: 0, to: 64, by: 2).map { UInt8(digits[$0]! << 4 | digits[$0 + 1]!) }
    }
}
