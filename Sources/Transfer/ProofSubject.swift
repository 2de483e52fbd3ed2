internal import Pcapng

/// What a proof is about: everything the two sides have said so far that must not be replayed or exchanged.
public struct ProofSubject: Sendable, Equatable {
    /// Who proves.
    public enum Role: String, Sendable {
        case relay, collector
    }

    /// The greeting's challenge, and the answer.
    public var helloChallenge: [UInt8], session: Session

    /// The subject of both proofs of one connection. The proof inside `session` is not part of it.
    public init(helloChallenge: [UInt8], session: Session) {
        (self.helloChallenge, self.session) = (helloChallenge, session)
    }

    /// The bytes under the authentication code (docs/format.md, "Proofs").
    public func message(_ role: Role) -> [UInt8] {
        var message = BlockBuilder()
        message.append(bytes: role.rawValue.utf8)
        message.append(UInt8(0))
        message.append(session.version)
        message.append(bytes: helloChallenge)
        message.append(bytes: session.challenge)
        for name in [session.sensor, session.destination] {
            message.append(UInt16(name.utf8.count))
            message.append(bytes: name.utf8)
        }
        message.append(bytes: session.runsDigest)
        return message.bytes
    }
}
