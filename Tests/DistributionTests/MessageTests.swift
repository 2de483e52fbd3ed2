import Fragments
import TestSupport
import Testing

@_spi(Fuzzing) @testable import Distribution

@Suite("Messages of send and receive")
struct MessageTests {
    static let hash = TreeHash((0..<32).map { UInt8($0) })
    static let list = try! RangeList<UInt64>([1..<4, 9..<10], limit: 12)
    static let samples: [Message] = [
        .file(FileAnnouncement(number: 7, kind: .file, mode: 0o640, size: 1 << 33, modified: -5, name: "a/ö")),
        .have(file: 7, pieces: list, evidence: hash), .hashes(file: 7, first: 3, [hash, hash]), .root(file: 7, hash),
        .again(file: 7, pieces: list), .progress(file: 7, bytes: 12345), .done(file: 7, hash),
        .refused(file: 7, Refusal(.full, "no room")), .withdrawn(file: 7, "it changed"), .end(.proof, "no token"),
        .forward(to: "192.0.2.1:5"), .forwardFailed(to: "192.0.2.1:5", "gone"),
    ]

    private func parts(_ message: Message) throws -> (kind: Message.Kind, body: [UInt8]) {
        let bytes = message.encoded()
        let kind = try #require(Message.Kind(rawValue: UInt16(bytes[4]) | UInt16(bytes[5]) << 8))
        #expect(bytes[..<4].reversed().reduce(0) { $0 << 8 | Int($1) } == bytes.count - 8)
        return (kind, Array(bytes[8...]))
    }

    @Test("What is written is read again, and nothing shorter or longer is")
    func lengths() throws {
        for message in Self.samples {
            let (kind, body) = try parts(message)
            #expect(try Message(kind, body).encoded() == message.encoded())
            for count in 0..<body.count {
                #expect(throws: ProtocolProblem.self, "\(kind) of \(count) bytes") {
                    try Message(kind, Array(body[..<count]))
                }
            }
            #expect(throws: ProtocolProblem.self, "\(kind)") { try Message(kind, body + [0]) }
        }
    }

    @Test("Changed bytes are an error or another message, never more, and are read to the same end")
    func changes() throws {
        var generator = SystemRandomNumberGenerator()
        for message in Self.samples {
            let (kind, body) = try parts(message)
            for place in body.indices {
                for bit in 0..<8 {
                    var changed = body
                    changed[place] ^= 1 << UInt8(bit)
                    if let other = try? Message(kind, changed) {
                        #expect(
                            other.encoded().count == body.count + 8 || kind == .end || kind == .refused
                                || kind == .withdrawn || kind == .forwardFailed)
                    }
                }
            }
            for _ in 0..<500 {
                let noise = (0..<Int.random(in: 0...90, using: &generator)).map { _ in UInt8.random(in: 0...255) }
                _ = try? Message(kind, noise)
                _ = try? Greeting.Hello(noise)
                _ = try? Greeting.Welcome(noise)
                _ = Receipt(noise)
            }
        }
    }

    @Test("The bytes are those of docs/send-format.md")
    func literal() throws {
        let progress = Message.progress(file: 7, bytes: 0x0102).encoded()
        #expect(progress == [12, 0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0])
        let data = Message.dataHeader(file: 1, offset: 1 << 20, byteCount: 256)
        #expect(data == [16, 1, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0])
        let end = Message.end(.version, "no").encoded()
        #expect(end == [6, 0, 0, 0, 14, 0, 0, 0, 2, 0, 2, 0] + Array("no".utf8))
        let receipt = Receipt(file: 1, status: .refused, root: Self.hash, reason: .full, damagedPieces: 3).encoded()
        #expect(receipt.count == 72 && Array(receipt[..<16]) == [64, 0, 0, 0, 17, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0])
        #expect(Array(receipt[16..<48]) == Self.hash.bytes && receipt[48] == 3)
    }
}

@Suite("What the fuzzer of messages looks for")
struct MessageCheckTests {
    @Test("Its seeds, and each of them with a byte changed, cut off or doubled, are understood or refused")
    func seeds() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let folder = "/\(root)/Fuzz/Seeds/FuzzMessages"
        let names = try directoryEntries(folder)
        #expect(names.count == 18)
        var generator = SystemRandomNumberGenerator()
        for name in names {
            let seed = try readFile("\(folder)/\(name)")
            MessageCheck.check(seed)
            for _ in 0..<100 {
                var changed = seed
                let place = Int.random(in: 0..<changed.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: changed[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: changed.removeLast(changed.count - place)
                default: changed += changed[place...]
                }
                MessageCheck.check(changed)
            }
        }
    }
}
