import Pcapng
import TestSupport
import Testing
import Transfer

@Suite("Control blocks against the tests' own reading of docs/format.md")
struct BlockTests {
    static let challenge = (0..<32).map { UInt8($0) }
    static let digest = (0..<32).map { UInt8(255 - $0) }
    static let run = RunIdentity(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
    static let runBytes = (0..<16).map { UInt8($0) }

    @Test("HELLO, SESSION, PROOF and END have the bytes of the page, and are read from them")
    func greetings() throws {
        var hello = Hello(asksForProof: true, isDurable: true, challenge: Self.challenge)
        var message = ControlMessage.hello(flags: 3, challenge: Self.challenge)
        #expect(hello.encoded() == message.bytes)
        (hello.leastVersion, hello.greatestVersion, hello.isDurable) = (1, 700, false)
        message = .hello(least: 1, greatest: 700, flags: 1, challenge: Self.challenge)
        #expect(hello.encoded() == message.bytes)
        #expect(try Decoding.hello(message.bytes) == hello)

        for (sensor, destination) in [("a", "b"), ("sensor-7", "x"), (String(repeating: "n", count: 64), "d.e_f")] {
            let session = Session(
                challenge: Self.challenge, runsDigest: Self.digest, proof: Self.digest.reversed(), sensor: sensor,
                destination: destination)
            let message = ControlMessage.session(
                challenge: Self.challenge, digest: Self.digest, proof: Self.digest.reversed(), sensor: sensor,
                destination: destination)
            #expect(session.encoded() == message.bytes)
            #expect(try Decoding.session(message.bytes) == session)
        }

        #expect(Proof(bytes: Self.digest).encoded() == ControlMessage.proof(Self.digest).bytes)
        #expect(try Decoding.proof(ControlMessage.proof(Self.digest).bytes).bytes == Self.digest)

        for text in ["", "a", "too many runs", String(repeating: "x", count: 200)] {
            let message = ControlMessage.end(code: 5, text: text)
            #expect(End(.limit, text).encoded() == message.bytes)
            #expect(try Decoding.end(message.bytes) == End(.limit, text))
        }
        let codes = ["done", "leaving", "version", "proof", "refused", "limit", "malformed", "late", "busy", "storage"]
        #expect(EndCode.allCases.map { "\($0)" } == codes)
    }

    @Test("What an END says can do nothing to a terminal, and a code of a later version is no error")
    func endText() throws {
        let message = ControlMessage.end(code: 77, text: "a\u{1b}[2Jb\nc\u{9b}d")
        let end = try Decoding.end(message.bytes)
        #expect(end.text == "a?[2Jb?c?d")
        #expect(end.reason == nil && end.code == 77)
    }

    @Test("Range blocks have the bytes of the page, and are read from them in place")
    func ranges() throws {
        for (kind, type) in [
            (ControlRanges.Kind.owed, ControlType.owed), (.have, ControlType.have), (.ack, ControlType.ack),
            (.gone, ControlType.gone),
        ] {
            for ranges in [[], [0..<1], [3..<9, 10..<11, 500..<(1 << 62)]] as [[Range<UInt64>]] {
                let list = NumberRanges(run: Self.run, worker: 3, lane: 900, mark: 77, reason: 2, ranges)
                let expected = ControlMessage.ranges(
                    ControlRanges(
                        kind, run: Self.runBytes, worker: 3, lane: 900, ranges, flags: 1, mark: 77, reason: 2))
                #expect(list.blocks(type, isLast: true) == expected.bytes)
                try unsafe expected.bytes.withUnsafeBytes {
                    let block = try unsafe RangeBlock($0.baseAddress!, byteCount: $0.count)
                    #expect(block.type == type && block.isLast && block.run == Self.run)
                    #expect(block.worker == 3 && block.lane == 900 && block.mark == 77 && block.reason == 2)
                    #expect((0..<block.count).map { block.range($0).first..<block.range($0).end } == ranges)
                }
            }
        }
    }

    @Test("A long list takes several blocks of full length, and only the last one is marked")
    func longList() throws {
        let ranges = (0..<UInt64(4092 * 2 + 1)).map { $0 * 2..<$0 * 2 + 1 }
        let bytes = NumberRanges(run: Self.run, worker: 0, lane: 0, mark: 9, ranges).blocks(
            ControlType.owed, isLast: true)
        var found: [Range<UInt64>] = []
        var marks: [Bool] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let length = Int(ByteReader(Array(rest.prefix(8))).word(4))
            #expect(length <= 65536)
            guard case .ranges(let part) = try ControlMessage(Array(rest.prefix(length))) else {
                Issue.record("not a range block")
                return
            }
            found += part.ranges
            marks.append(part.isLast)
            rest = rest.dropFirst(length)
        }
        #expect(found == ranges)
        #expect(marks == [false, false, true])
    }

    @Test("Ranges that touch become one; a full block refuses another")
    func writer() throws {
        var memory = [UInt8](repeating: 0xee, count: 56 + 32)
        let count = unsafe memory.withUnsafeMutableBytes { buffer in
            var writer = unsafe RangeBlockWriter(
                ControlType.ack, run: Self.run, worker: 1, lane: 2, to: buffer.baseAddress!, capacity: buffer.count)
            for (first, end, fits) in [(1, 2, true), (2, 5, true), (7, 8, true), (9, 10, false), (8, 9, true)]
                as [(UInt64, UInt64, Bool)]
            {
                let did = writer.append(first, end)
                #expect(did == fits)
            }
            return writer.finish()
        }
        let expected = ControlRanges(.ack, run: Self.runBytes, worker: 1, lane: 2, [1..<5, 7..<9])
        #expect(try ControlMessage(Array(memory.prefix(count))) == .ranges(expected))
    }
}
