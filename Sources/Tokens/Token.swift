internal import Crypto
internal import Glibc
public import Pcapng
public import Transfer

/// A secret that relay and collector share: 32 random bytes in a file.
public struct Token: Sendable {
    /// Bytes of a token.
    public static let byteCount = 32
    private let key: SymmetricKey

    /// A token of these 32 bytes.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == Self.byteCount, "a token of 32 bytes")
        key = SymmetricKey(data: bytes)
    }

    /// The authentication code of a message (RFC 2104 with SHA-256), 32 bytes. The message says by its own words what it is for.
    public func code(over message: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: key))
    }

    /// Whether it is the authentication code of that message. Takes the same time whatever the answer.
    public func isCode(_ code: [UInt8], over message: [UInt8]) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: message, using: key)
    }

    /// The proof of one side (RFC 2104 with SHA-256), 32 bytes.
    public func proof(of role: ProofSubject.Role, _ subject: ProofSubject) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: subject.message(role), using: key))
    }

    /// Whether it is the proof of that side. Takes the same time whatever the answer.
    public func isProof(_ proof: [UInt8], of role: ProofSubject.Role, _ subject: ProofSubject) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: subject.message(role), using: key)
    }
}

/// SHA-256 (FIPS 180-4) of the runs a session speaks of, ascending by their bytes.
public func runsDigest(_ runs: some Sequence<RunIdentity>) -> [UInt8] {
    let identities = runs.map { run in
        var bytes = BlockBuilder()
        bytes.append(run.low)
        bytes.append(run.high)
        return bytes.bytes
    }
    return Array(SHA256.hash(data: identities.sorted { $0.lexicographicallyPrecedes($1) }.joined().map { $0 }))
}

/// Fresh random bytes from the kernel.
public func randomBytes(_ count: Int) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}
