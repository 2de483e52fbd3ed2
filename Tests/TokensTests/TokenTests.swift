import Glibc
import Pcapng
import TestSupport
import Testing
import Tokens
import Transfer

@Suite("Tokens and proofs")
struct TokenTests {
    private let key = (0..<32).map { UInt8($0 * 7) }
    private let subject = ProofSubject(
        helloChallenge: [UInt8](repeating: 1, count: 32),
        session: Session(
            challenge: [UInt8](repeating: 2, count: 32), runsDigest: [UInt8](repeating: 3, count: 32),
            sensor: "north", destination: "vault"))

    @Test("The tests' own SHA-256 and HMAC are right: the examples of FIPS 180-4 and RFC 4231")
    func references() {
        func hex(_ bytes: [UInt8]) -> String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        #expect(
            hex(referenceSHA256(Array("abc".utf8)))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex(referenceSHA256([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            hex(referenceHMAC(Array("Jefe".utf8), Array("what do ya want for nothing?".utf8)))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test("A proof is the authentication code of exactly the bytes of the page")
    func proof() {
        let token = Token(bytes: key)
        for (role, word) in [(ProofSubject.Role.relay, "relay"), (.collector, "collector")] {
            var message = ByteWriter(.little)
            message.raw(Array(word.utf8) + [0])
            message.number(UInt16(1))
            message.raw([UInt8](repeating: 1, count: 32) + [UInt8](repeating: 2, count: 32))
            message.number(UInt16(5))
            message.raw(Array("north".utf8))
            message.number(UInt16(5))
            message.raw(Array("vault".utf8) + [UInt8](repeating: 3, count: 32))
            #expect(token.proof(of: role, subject) == referenceHMAC(key, message.bytes))
        }
    }

    @Test("Only the right proof of the right side about the right connection is accepted")
    func checks() {
        let token = Token(bytes: key)
        let proof = token.proof(of: .relay, subject)
        #expect(token.isProof(proof, of: .relay, subject))
        #expect(!token.isProof(proof, of: .collector, subject))
        #expect(!Token(bytes: key.reversed()).isProof(proof, of: .relay, subject))
        for byte in 0..<32 {
            var wrong = proof
            wrong[byte] ^= 0x10
            #expect(!token.isProof(wrong, of: .relay, subject))
        }
        for wrong in [[], Array(proof.dropLast()), proof + [0]] { #expect(!token.isProof(wrong, of: .relay, subject)) }
        let changes: [(inout ProofSubject) -> Void] = [
            { $0.helloChallenge[31] ^= 1 }, { $0.session.challenge[0] ^= 1 }, { $0.session.runsDigest[5] ^= 1 },
            { $0.session.version = 2 }, { $0.session.sensor = "nortH" }, { $0.session.destination = "vaulu" },
            // The border between the names is part of it.
            { ($0.session.sensor, $0.session.destination) = ("northv", "ault") },
        ]
        for change in changes {
            var other = subject
            change(&other)
            #expect(!token.isProof(proof, of: .relay, other))
        }
    }

    @Test("The digest of runs does not depend on their order of making, and is SHA-256 of their bytes ascending")
    func runs() {
        let (one, two) = (RunIdentity(low: 0x02, high: 0), RunIdentity(low: 0x0100, high: 0))
        let bytes = [[UInt8](repeating: 0, count: 16), [UInt8](repeating: 0, count: 16)]
        var (first, second) = (bytes[0], bytes[1])
        // 00 01 ... is before 02 00 ... by bytes, though greater as a little-endian number.
        (first[1], second[0]) = (1, 2)
        #expect(runsDigest([one, two]) == referenceSHA256(first + second))
        #expect(runsDigest([two, one]) == referenceSHA256(first + second))
        #expect(runsDigest([one]) == referenceSHA256(second))
    }

    @Test("A token file holds exactly 32 bytes that only its owner and group may read; errors say what is wrong")
    func files() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/token"
            try writeFile(path, key)
            #expect(try Token(file: path).proof(of: .relay, subject) == Token(bytes: key).proof(of: .relay, subject))
            _ = unsafe chmod(path, 0o644)
            problem(path, .badContent, "chmod 600")
            _ = unsafe chmod(path, 0o640)
            _ = try Token(file: path)
            for count in [0, 1, 31, 33, 100] {
                try writeFile(path, [UInt8](repeating: 1, count: count))
                problem(path, .badContent, "exactly 32 bytes")
            }
            problem("\(folder)/none", .missing, "none")
            problem(folder, .failed, folder)
        }
    }

    private func problem(_ path: String, _ kind: TokenFileError.Kind, _ words: String) {
        do throws(TokenFileError) {
            _ = try Token(file: path)
            Issue.record("\(path) was accepted")
        } catch {
            #expect(error.kind == kind)
            #expect(error.description.contains(words) && error.description.contains(path))
        }
    }
}
