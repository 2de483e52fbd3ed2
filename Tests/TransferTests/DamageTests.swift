import Pcapng
import TestSupport
import Testing
import Transfer

@Suite("Control blocks that are cut, changed or made by somebody hostile")
struct ControlDamageTests {
    private typealias Decoder = ([UInt8]) throws -> Void

    /// One block of each kind with the decoder that takes it.
    private func samples() -> [(bytes: [UInt8], decode: Decoder)] {
        let list = NumberRanges(run: BlockTests.run, worker: 1, lane: 2, mark: 3, [1..<5, 9..<10])
        let session = Session(
            challenge: BlockTests.challenge, runsDigest: BlockTests.digest, sensor: "abc", destination: "d")
        let ranges: Decoder = { _ = try Decoding.ranges($0) }
        return [
            (
                Hello(asksForProof: true, isDurable: false, challenge: BlockTests.challenge).encoded(),
                { _ = try Decoding.hello($0) }
            ),
            (session.encoded(), { _ = try Decoding.session($0) }),
            (Proof(bytes: BlockTests.digest).encoded(), { _ = try Decoding.proof($0) }),
            (End(.busy, "come back").encoded(), { _ = try Decoding.end($0) }),
        ]
            + [ControlType.owed, ControlType.have, ControlType.ack, ControlType.gone]
            .map { (list.blocks($0), ranges) }
    }

    @Test("Cut at every byte: an error, never a crash, never a success")
    func truncated() throws {
        for (bytes, decode) in samples() {
            try decode(bytes)
            for length in 1..<bytes.count {
                #expect(throws: ControlError.self) { try decode(Array(bytes.prefix(length))) }
            }
            for extra in 1..<20 {
                #expect(throws: ControlError.self) {
                    try decode(bytes + [UInt8](repeating: 0, count: extra))
                }
            }
        }
    }

    @Test("Every bit flipped is detected")
    func flipped() throws {
        for (bytes, decode) in samples() {
            for bit in 0..<8 * bytes.count {
                var changed = bytes
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                // A flipped type can make another kind of the same layout only with another checksum.
                #expect(throws: ControlError.self) { try decode(changed) }
            }
        }
    }

    /// Changes fields and makes the checksum right again, as somebody hostile would.
    private func forged(_ bytes: [UInt8], _ change: (inout ByteWriter) -> Void) -> [UInt8] {
        var body = ByteWriter(.little)
        body.raw(Array(bytes[8..<bytes.count - 8]))
        change(&body)
        return ControlMessage.block(ByteReader(bytes).word(0), body.bytes)
    }

    private func error(_ bytes: [UInt8], _ decode: ([UInt8]) throws -> Void) -> ControlError? {
        do {
            try decode(bytes)
            return nil
        } catch { return error as? ControlError }
    }

    @Test("Counts, names and versions that lie are refused although the checksum is right")
    func lies() throws {
        let list = NumberRanges(run: BlockTests.run, worker: 0, lane: 0, [1..<5, 9..<10]).blocks(ControlType.ack)
        let ranges: Decoder = { _ = try Decoding.ranges($0) }
        for count in [0, 1, 3, 4092, 0x1000_0000, 0x1000_0002, UInt32.max] {
            #expect(error(forged(list) { $0.replace(at: 36, with: count) }, ranges) == .badLength)
        }
        // First range 1..<5, second 9..<10: empty, reversed, overlapping, touching, descending.
        for (offset, value) in [(40, 5), (40, 6), (48, 1), (48, 0), (48, 9), (56, 5), (56, 4), (56, 0), (56, 10)] {
            #expect(error(forged(list) { $0.replace(at: offset, with: UInt64(value)) }, ranges) == .badRanges)
        }
        let hello = Hello(asksForProof: false, isDurable: false, challenge: BlockTests.challenge).encoded()
        for (least, greatest) in [(0, 1), (2, 1), (0, 0)] as [(UInt16, UInt16)] {
            let bytes = forged(hello) {
                $0.replace(at: 0, with: least)
                $0.replace(at: 2, with: greatest)
            }
            #expect(error(bytes) { _ = try Decoding.hello($0) } == .badVersions)
        }
        let session = Session(
            challenge: BlockTests.challenge, runsDigest: BlockTests.digest, sensor: "abc", destination: "d"
        ).encoded()
        for (sensor, destination) in [(0, 4), (4, 0), (65, 1), (5, 0), (0xffff, 0xffff), (2, 1)] as [(UInt16, UInt16)] {
            let bytes = forged(session) {
                $0.replace(at: 4, with: sensor)
                $0.replace(at: 6, with: destination)
            }
            let found = error(bytes) { _ = try Decoding.session($0) }
            #expect(found == .badLength || found == .badName || (sensor, destination) == (2, 1))
        }
        for name in [".a", "a/b", "a b", "é", "a\u{0}"] {
            let bytes = ControlMessage.session(
                challenge: BlockTests.challenge, digest: BlockTests.digest, proof: BlockTests.digest, sensor: name,
                destination: "x"
            ).bytes
            #expect(error(bytes) { _ = try Decoding.session($0) } == .badName)
        }
        let end = End(.done, "abcd").encoded()
        for length in [5, 201, 0xffff, 0] as [UInt16] {
            #expect(error(forged(end) { $0.replace(at: 2, with: length) }) { _ = try Decoding.end($0) } == .badLength)
        }
    }

    @Test("The outline of a block is checked before anybody waits for the rest of it")
    func frames() throws {
        func peek(_ type: UInt32, _ length: UInt32, available: Int = 8) throws -> Int? {
            var bytes = ByteWriter(.little)
            bytes.number(type)
            bytes.number(length)
            return try Decoding.frame(bytes.bytes, available: available)?.byteCount
        }
        for available in 0..<8 { #expect(try peek(ControlType.ack, 60, available: available) == nil) }
        #expect(try peek(6, 32) == 32)
        #expect(try peek(6, 262_144 + 4096) == 262_144 + 4096)
        for (type, length) in [
            (ControlType.hello, 260), (ControlType.session, 516), (ControlType.end, 260), (ControlType.ack, 65540),
            (0x8053_5099, 65540), (6, 262_144 + 4100), (0x0a0d_0d0a, 0xffff_fffc),
        ] as [(UInt32, UInt32)] {
            #expect(throws: ControlError.tooLong) { try peek(type, length) }
        }
        for length in [0, 4, 8, 11, 13, 30, 0xffff_ffff] as [UInt32] {
            #expect(throws: ControlError.badLength) { try peek(6, length) }
        }
    }

    @Test("Names are made of what may stand in them")
    func names() {
        #expect(Session.name(from: "127.0.0.1:57012") == "127.0.0.1-57012")
        #expect(Session.name(from: "[::1]:9") == "---1--9")
        #expect(Session.name(from: ".hidden") == "-hidden")
        #expect(Session.name(from: "") == "-")
        #expect(Session.name(from: String(repeating: "é", count: 40)).utf8.count == 64)
        for text in ["127.0.0.1:57012", "[::1]:9", "..", "", "a b", String(repeating: "é", count: 40)] {
            #expect(Session.isName(Array(Session.name(from: text).utf8)))
        }
    }
}
