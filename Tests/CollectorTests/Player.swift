import Glibc
import TestSupport

/// What identifies a batch: run, worker, lane, number.
struct Identity: Hashable {
    var run: [UInt8]
    var worker: UInt16, lane: UInt16
    var number: UInt64
}

extension SampleBatch {
    var identity: Identity { Identity(run: run.identity, worker: worker, lane: lane, number: number) }
}

/// Something the collector said is not what docs/format.md says.
struct ProtocolProblem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Plays a relay, byte by byte from docs/format.md, without the product's code.
final class Player {
    /// A control block as the collector sent it.
    struct Block {
        var type: UInt32
        var bytes: [UInt8]

        func number<Number: FixedWidthInteger>(_ place: Int) -> Number {
            (0..<Number.bitWidth / 8).reduce(0) { $0 | Number(bytes[place + $1]) << Number(8 * $1) }
        }

        /// The batches a list names.
        var identities: [Identity] {
            let count: UInt32 = number(44)
            return (0..<Int(count)).flatMap { place in
                let (first, end): (UInt64, UInt64) = (number(48 + 16 * place), number(56 + 16 * place))
                return (first..<end).map {
                    Identity(run: Array(bytes[16..<32]), worker: number(12), lane: number(14), number: $0)
                }
            }
        }
    }

    static let (hello, proof, have, ack, endType) = (
        UInt32(0x8053_5048), UInt32(0x8053_5050), UInt32(0x8053_5056), UInt32(0x8053_5041), UInt32(0x8053_5045)
    )

    let connection: TestConnection
    let sensor: String, destination: String
    private var input: [UInt8] = []
    private(set) var hasEnded = false
    /// What the collector acknowledged on this connection, and what it said it had.
    private(set) var acknowledged: Set<Identity> = []
    /// Acknowledgements of nothing: it only says that it is alive.
    private(set) var emptyAcks = 0
    private(set) var had: Set<Identity> = []
    /// The code and text of END, if it came.
    private(set) var end: (code: UInt16, text: String)?

    init?(port: UInt16, sensor: String = "s", destination: String = "d") {
        guard let connection = TestConnection(port: port) else { return nil }
        (self.connection, self.sensor, self.destination) = (connection, sensor, destination)
    }

    // ---- what is said

    static let sectionHeader = sampleBlock(
        0x0a0d_0d0a, [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0] + [UInt8](repeating: 0xff, count: 8))

    /// A control block of a body: padding and checksum are added.
    static func control(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
        var block = ByteWriter(.little)
        let padded = body + [UInt8](repeating: 0, count: -body.count & 3)
        block.number(type)
        block.number(UInt32(padded.count + 16))
        block.raw(padded)
        block.number(referenceCRC32C(block.bytes))
        block.number(UInt32(padded.count + 16))
        return block.bytes
    }

    /// OWED or GONE.
    static func list(
        _ type: UInt32, _ run: SampleRun, worker: UInt16 = 0, lane: UInt16 = 0, mark: UInt64 = 0, reason: UInt32 = 0,
        _ ranges: [Range<UInt64>], isLast: Bool = false
    ) -> [UInt8] {
        var body = ByteWriter(.little)
        for field in [0, isLast ? 1 : 0, worker, lane] as [UInt16] { body.number(field) }
        body.raw(run.identity)
        body.number(mark)
        body.number(reason)
        body.number(UInt32(ranges.count))
        for range in ranges {
            body.number(range.lowerBound)
            body.number(range.upperBound)
        }
        return control(type, body.bytes)
    }

    static let (owed, gone) = (UInt32(0x8053_504f), UInt32(0x8053_5047))

    static func end(_ code: UInt16) -> [UInt8] {
        control(endType, [UInt8(code), 0, 0, 0, 0, 0, 0, 0])
    }

    static func session(
        sensor: String, destination: String, runs: [SampleRun], challenge: [UInt8] = sampleBytes(32, seed: 3),
        helloChallenge: [UInt8] = [], token: [UInt8]? = nil, version: UInt16 = 1
    ) -> [UInt8] {
        let sorted = runs.map(\.identity).sorted { $0.lexicographicallyPrecedes($1) }
        let digest = Digest.sha256(sorted.flatMap(\.self))
        var body = ByteWriter(.little)
        for field in [version, 0, UInt16(sensor.utf8.count), UInt16(destination.utf8.count)] { body.number(field) }
        body.raw(challenge + digest)
        body.raw(
            token.map {
                proof("relay", $0, version, helloChallenge, challenge, sensor, destination, digest)
            } ?? [UInt8](repeating: 0, count: 32))
        body.raw(Array(sensor.utf8) + Array(destination.utf8))
        return control(0x8053_5053, body.bytes)
    }

    static func proof(
        _ role: String, _ token: [UInt8], _ version: UInt16, _ hello: [UInt8], _ challenge: [UInt8], _ sensor: String,
        _ destination: String, _ digest: [UInt8]
    ) -> [UInt8] {
        var message = ByteWriter(.little)
        message.raw(Array(role.utf8) + [0])
        message.number(version)
        message.raw(hello + challenge)
        for name in [sensor, destination] {
            message.number(UInt16(name.utf8.count))
            message.raw(Array(name.utf8))
        }
        message.raw(digest)
        return Digest.hmac(message.bytes, key: token)
    }

    // ---- the conversation

    /// Says who it is and what it owes, and waits for the answer. False if the connection ended before.
    ///
    /// - Parameter owed: lists as `list` makes them, the last one marked; nil owes every batch of `batches`.
    func open(_ batches: [SampleBatch], runs: [SampleRun]? = nil, owed: [UInt8]? = nil) throws -> Bool {
        guard try wait(until: { _ in self.helloSeen }) else { return false }
        let runs = runs ?? Self.runs(of: batches)
        let lists = owed ?? Self.inventory(batches, runs)
        let greeting = Self.sectionHeader + Self.session(sensor: sensor, destination: destination, runs: runs)
        guard connection.send(greeting + lists) else { return false }
        return try wait { _ in self.haveIsComplete }
    }

    static func runs(of batches: [SampleBatch]) -> [SampleRun] {
        var runs: [[UInt8]: SampleRun] = [:]
        for batch in batches where (runs[batch.run.identity]?.interfaces.count ?? 0) < batch.run.interfaces.count {
            runs[batch.run.identity] = batch.run
        }
        return runs.values.sorted { $0.identity.lexicographicallyPrecedes($1.identity) }
    }

    static func inventory(_ batches: [SampleBatch], _ runs: [SampleRun]) -> [UInt8] {
        struct Lane: Hashable { var worker: UInt16, lane: UInt16 }
        var lists: [(SampleRun, Lane, [Range<UInt64>])] = []
        for run in runs {
            let own = batches.filter { $0.run.identity == run.identity }
            let lanes = Dictionary(grouping: own) { Lane(worker: $0.worker, lane: $0.lane) }
            for (lane, batches) in lanes { lists.append((run, lane, ranges(batches.map(\.number)))) }
            if lanes.isEmpty { lists.append((run, Lane(worker: 0, lane: 0), [])) }
        }
        return lists.enumerated().flatMap { place, entry in
            list(
                owed, entry.0, worker: entry.1.worker, lane: entry.1.lane, mark: entry.2.last?.upperBound ?? 0,
                entry.2, isLast: place == lists.count - 1)
        }
    }

    static func ranges(_ numbers: [UInt64]) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        for number in Set(numbers).sorted() {
            if let last = result.last, last.upperBound == number {
                result[result.count - 1] = last.lowerBound..<number + 1
            } else {
                result.append(number..<number + 1)
            }
        }
        return result
    }

    /// A section's beginning for batches of one run.
    static func preamble(_ run: SampleRun, lanes: Set<UInt16> = [0]) -> [UInt8] {
        run.interfaces.flatMap(\.self) + lanes.sorted().flatMap { run.lane($0) }
    }

    /// Waits until all of these are acknowledged or had. False if the connection ended before.
    func waitAcknowledged(_ batches: [SampleBatch]) throws -> Bool {
        let wanted = Set(batches.map(\.identity))
        return try wait { _ in wanted.isSubset(of: self.acknowledged.union(self.had)) }
    }

    private var helloSeen = false
    private(set) var haveIsComplete = false
    private(set) var helloBlock: Block?
    private(set) var proofBlock: Block?

    /// Reads until a condition holds; false when the connection has ended before.
    func wait(seconds: Int = 60, until condition: (Player) -> Bool) throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            try takeApart()
            if condition(self) { return true }
            if hasEnded { return false }
            guard ContinuousClock.now < deadline else { throw ProtocolProblem("nothing came for \(seconds) s") }
            if let bytes = connection.receive(milliseconds: 100) { input += bytes } else { hasEnded = true }
        }
    }

    private func takeApart() throws {
        while input.count >= 8 {
            let head = Block(type: 0, bytes: Array(input.prefix(8)))
            let length = Int(head.number(4) as UInt32)
            guard length >= 12, length % 4 == 0 else { throw ProtocolProblem("a block of length \(length)") }
            guard input.count >= length else { return }
            try handle(Block(type: head.number(0), bytes: Array(input.prefix(length))))
            input.removeFirst(length)
        }
    }

    private func handle(_ block: Block) throws {
        if block.type == 0x0a0d_0d0a { return }
        let count = block.bytes.count
        guard block.number(count - 8) as UInt32 == referenceCRC32C(block.bytes.dropLast(8)) else {
            throw ProtocolProblem("a control block with a wrong checksum")
        }
        switch block.type {
        case Self.hello: (helloSeen, helloBlock) = (true, block)
        case Self.proof: proofBlock = block
        case Self.have:
            had.formUnion(block.identities)
            if (block.number(10) as UInt16) & 1 == 1 { haveIsComplete = true }
        case Self.ack:
            acknowledged.formUnion(block.identities)
            if block.identities.isEmpty { emptyAcks += 1 }
        case Self.endType:
            let length = Int(block.number(10) as UInt16)
            end = (block.number(8), String(decoding: block.bytes[16..<16 + length], as: UTF8.self))
        default: throw ProtocolProblem("a block of type \(block.type)")
        }
    }
}
