internal import Tokens

/// The first three messages of a connection, by which both sides know what they speak and that they share a token.
struct Greeting {
    /// The version spoken here.
    static var version: UInt16 { 1 }
    /// What a sender's first bytes say.
    static var mark: [UInt8] { Array("SPILLSND".utf8) }

    /// Which side proves.
    enum Role: String {
        case sender, receiver
    }

    /// HELLO, from the side that connects.
    struct Hello {
        var version = Greeting.version
        /// Which transfer this connection belongs to: relays say that of the sender.
        var session: [UInt8]
        var challenge: [UInt8]
        /// Whether pieces come from a relay; the files are announced by the sender's own connection.
        var isRelay = false
        /// Whether the sender wants nothing but receipts, which all have one length.
        var isQuiet = false

        func encoded() -> [UInt8] {
            var body = WireWriter()
            body.append(bytes: Greeting.mark)
            body.append(version)
            body.append(UInt16((isRelay ? 1 : 0) | (isQuiet ? 2 : 0)))
            body.append(bytes: session)
            body.append(bytes: challenge)
            return body.bytes
        }

        init(session: [UInt8], challenge: [UInt8], isRelay: Bool = false, isQuiet: Bool = false) {
            (self.session, self.challenge) = (session, challenge)
            (self.isRelay, self.isQuiet) = (isRelay, isQuiet)
        }

        init(_ body: [UInt8]) throws(ProtocolProblem) {
            var reader = WireReader(body)
            guard Array(try reader.take(8)) == Greeting.mark else { throw .malformed("no sender of files") }
            version = try reader.number()
            // Of other versions nothing more is known.
            guard version == Greeting.version else { throw .version(version) }
            let flags: UInt16 = try reader.number()
            isRelay = flags & 1 != 0
            isQuiet = flags & 2 != 0
            session = Array(try reader.take(16))
            challenge = Array(try reader.take(32))
            try reader.end()
        }
    }

    /// WELCOME, the answer.
    struct Welcome {
        var challenge: [UInt8]
        var proof: [UInt8]

        func encoded() -> [UInt8] {
            var body = WireWriter()
            body.append(Greeting.version)
            body.append(UInt16(0))
            body.append(bytes: challenge)
            body.append(bytes: proof)
            return body.bytes
        }

        init(challenge: [UInt8], proof: [UInt8]) { (self.challenge, self.proof) = (challenge, proof) }

        init(_ body: [UInt8]) throws(ProtocolProblem) {
            var reader = WireReader(body)
            let version: UInt16 = try reader.number()
            guard version == Greeting.version else { throw .version(version) }
            let _: UInt16 = try reader.number()
            challenge = Array(try reader.take(32))
            proof = Array(try reader.take(32))
            try reader.end()
        }
    }

    /// The proof of a role over both challenges and the session; zeros where there is no token.
    static func proof(_ role: Role, _ token: Token?, hello: Hello, challenge: [UInt8]) -> [UInt8] {
        guard let token else { return [UInt8](repeating: 0, count: 32) }
        return token.code(over: subject(role, hello, challenge))
    }

    /// Whether a proof is the one of this role. Without a token none is asked for.
    static func isProof(
        _ proof: [UInt8], of role: Role, _ token: Token?, hello: Hello, challenge: [UInt8]
    ) -> Bool {
        token?.isCode(proof, over: subject(role, hello, challenge)) ?? true
    }

    /// What a sender says when it is welcomed, framed; throws if the receiver does not prove that it has the token.
    static func answer(
        toWelcome body: [UInt8], hello: Hello, token: Token?
    ) throws(ProtocolProblem) -> [UInt8] {
        let welcome = try Welcome(body)
        guard isProof(welcome.proof, of: .receiver, token, hello: hello, challenge: welcome.challenge)
        else { throw .proof }
        return Message.framed(.proof, proof(.sender, token, hello: hello, challenge: welcome.challenge))
    }

    private static func subject(_ role: Role, _ hello: Hello, _ challenge: [UInt8]) -> [UInt8] {
        Array("spillway send \(role.rawValue)\0".utf8) + hello.encoded() + challenge
    }
}
