import Machine
import Reassembly
import TestSupport
import Testing

/// Who owns a byte, told byte by byte: the fragments that carry it are met in the order in which they came.
private func oracle(
    _ policy: OverlapPolicy, _ pieces: [(from: Int, bytes: [UInt8])], length: Int
) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: length)
    for position in 0..<length {
        var owner: (from: Int, to: Int)?
        for piece in pieces where piece.from <= position && position < piece.from + piece.bytes.count {
            let (from, to) = (piece.from, piece.from + piece.bytes.count)
            if let present = owner, !wins(policy, over: present, (from, to)) { continue }
            owner = (from, to)
            result[position] = piece.bytes[position - from]
        }
    }
    return result
}

/// The rules in words: "a fragment wins over the one before it if ...".
private func wins(
    _ policy: OverlapPolicy, over old: (from: Int, to: Int), _ new: (from: Int, to: Int)
) -> Bool {
    let beginsEarlier = new.from < old.from
    let beginsTogether = new.from == old.from
    switch policy {
    case .drop, .first: return false
    case .last: return true
    case .bsd: return beginsEarlier
    case .linux: return beginsEarlier || beginsTogether
    case .windows: return beginsEarlier && new.to > old.to
    case .solaris: return beginsEarlier && new.to >= old.to
    case .bsdRight: return new.to > old.to || (new.to == old.to && (beginsEarlier || beginsTogether))
    }
}

private let assembling = OverlapPolicy.allCases.filter { $0 != .drop }

@Suite("Overlap policies", .timeLimit(.minutes(5)))
struct PolicyTests {
    /// The fragments of Sturges and Novak's examination of hosts, as Suricata's tests have them: a letter, where it begins and
    /// how many bytes it has.
    private static let examination: [(letter: Character, from: Int, count: Int)] = [
        ("A", 0, 24), ("B", 32, 16), ("C", 48, 24), ("D", 80, 8), ("E", 104, 16), ("F", 120, 24), ("G", 144, 16),
        ("H", 160, 16), ("I", 176, 8), ("J", 8, 32), ("K", 48, 24), ("L", 72, 24), ("M", 96, 24), ("N", 128, 8),
        ("O", 152, 8), ("P", 160, 8), ("Q", 176, 16),
    ]

    @Test(
        "The published examination of hosts: who wins each eight bytes",
        arguments: [
            (OverlapPolicy.bsd, "AAAJJBCCCLLLMMMFFFGGHHIQ"), (.linux, "AAAJJBKKKLLLMMMFFFGGPHQQ"),
            (.windows, "AAAJBBCCCLLLMEEFFFGGHHIQ"), (.solaris, "AAAJBBCCCLLLMMMFFFGGHHIQ"),
            (.first, "AAAJBBCCCLDLMEEFFFGGHHIQ"), (.last, "AJJJJBKKKLLLMMMFNFGOPHQQ"),
        ])
    func examination(_ policy: OverlapPolicy, _ winners: String) throws {
        for version in [4, 6] {
            let rig = try Rig(policy)
            let sample = Sample(size: 192, version: version)
            for piece in Self.examination {
                let bytes = [UInt8](repeating: piece.letter.asciiValue!, count: piece.count)
                rig.send([sample.fragment(piece.from, 0, more: piece.letter != "Q", bytes: bytes)])
            }
            let expected = winners.flatMap { [UInt8](repeating: $0.asciiValue!, count: 8) }
            #expect(rig.datagrams.map(\.bytes) == [sample.whole(expected)])
            #expect(rig.datagrams.first?.fragments == 17)
            #expect(rig.counters.value(.overlappedDatagrams) == 1)
            rig.expectNothingLost()
        }
    }

    /// Two intervals in each of Allen's thirteen relations, in units of eight bytes of a datagram of 12.
    private static let relations: [(name: String, first: (Int, Int), second: (Int, Int))] = [
        ("before", (1, 3), (5, 8)), ("after", (5, 8), (1, 3)), ("meets", (1, 4), (4, 8)), ("met by", (4, 8), (1, 4)),
        ("overlaps", (1, 5), (3, 8)), ("overlapped by", (3, 8), (1, 5)), ("starts", (1, 4), (1, 8)),
        ("started by", (1, 8), (1, 4)), ("during", (3, 5), (1, 8)), ("contains", (1, 8), (3, 5)),
        ("finishes", (5, 8), (1, 8)), ("finished by", (1, 8), (5, 8)), ("equals", (1, 8), (1, 8)),
    ]

    @Test("Two fragments in each of Allen's relations", arguments: OverlapPolicy.allCases)
    func allen(_ policy: OverlapPolicy) throws {
        for (number, relation) in Self.relations.enumerated() {
            let rig = try Rig(policy)
            var sample = Sample(size: 96)
            sample.identification = UInt32(number + 1)
            func bytes(_ piece: (Int, Int), _ letter: UInt8) -> [UInt8] {
                [UInt8](repeating: letter, count: (piece.1 - piece.0) * 8)
            }
            var pieces = [(0, [UInt8](repeating: 0x30, count: 8)), (64, [UInt8](repeating: 0x31, count: 32))]
            pieces.append((relation.first.0 * 8, bytes(relation.first, 0x41)))
            pieces.append((relation.second.0 * 8, bytes(relation.second, 0x42)))
            // What neither of them covers comes at the end.
            let covered = Set(pieces.flatMap { piece in (piece.0..<piece.0 + piece.1.count).map { $0 / 8 } })
            for unit in 0..<12 where !covered.contains(unit) { pieces.append((unit * 8, bytes((0, 1), 0x43))) }
            if relation.name == "before" || relation.name == "after" || covered.count < 12 {
                #expect(pieces.count > 4)
            } else {
                // Both have come before the datagram is complete: the first piece comes last.
                pieces.append(pieces.removeFirst())
            }
            for (from, bytes) in pieces {
                rig.send([sample.fragment(from, 0, more: from + bytes.count < 96, bytes: bytes)])
            }
            let isDisjoint = ["before", "after", "meets", "met by"].contains(relation.name)
            if policy == .drop, !isDisjoint {
                #expect(rig.datagrams.isEmpty, "\(relation.name)")
                #expect(rig.unassembled == ["overlap": UInt64(pieces.count)], "\(relation.name)")
            } else {
                let expected = oracle(policy, pieces.map { (from: $0.0, bytes: $0.1) }, length: 96)
                #expect(rig.datagrams.map(\.bytes) == [sample.whole(expected)], "\(relation.name)")
                #expect(rig.counters.value(.overlappedDatagrams) == (isDisjoint ? 0 : 1), "\(relation.name)")
            }
            rig.expectNothingLost()
        }
    }

    @Test("Random overlaps, as the oracle of the test puts them together", arguments: assembling)
    func random(_ policy: OverlapPolicy) throws {
        var random = Seeded(UInt64(policy.rawValue))
        var assembled = 0
        let rig = try Rig(policy)
        for round in 0..<400 {
            let version = round % 2 == 0 ? 4 : 6
            let units = 2 + random.below(round % 50 == 0 ? 300 : 16)
            let length = units * 8 - random.below(8)
            var sample = Sample(size: length, version: version)
            sample.identification = UInt32(round)
            var pieces: [(from: Int, bytes: [UInt8])] = []
            // The last fragments all end where the datagram does.
            let tail = (1 + random.below(units - 1)) * 8
            pieces.append((from: tail, bytes: (tail..<length).map { _ in UInt8(random.below(256)) }))
            var missing = Set(0..<units)
            while !missing.isEmpty, pieces.count < 60 {
                let from = random.below(units)
                var to = from + 1 + random.below(min(units - from, 1 + random.below(units)))
                // A fragment with others behind it cannot end with the odd bytes,
                // and one that is everything is no fragment.
                if to == units, length % 8 != 0 || from == 0 { to = max(from, to - 1) }
                if to == from { continue }
                pieces.insert(
                    (from: from * 8, bytes: (from * 8..<to * 8).map { _ in UInt8(random.below(256)) }),
                    at: random.below(pieces.count + 1))
                missing.subtract(from..<to)
                missing.subtract(tail / 8..<units)
            }
            guard missing.isEmpty else { continue }
            var done: [(from: Int, bytes: [UInt8])] = []
            var covered = Set<Int>()
            for piece in pieces {
                let isEnd = piece.from + piece.bytes.count == length
                rig.send([sample.fragment(piece.from, 0, more: !isEnd, bytes: piece.bytes)])
                done.append(piece)
                covered.formUnion(piece.from / 8..<(piece.from + piece.bytes.count + 7) / 8)
                if covered.count == units { break }
            }
            let expected = oracle(policy, done, length: length)
            assembled += 1
            #expect(rig.datagrams.count == assembled, "round \(round)")
            #expect(rig.datagrams.last?.bytes == sample.whole(expected), "round \(round)")
        }
        #expect(assembled > 300)
        rig.expectNothingLost()
    }

    @Test("Of two first fragments the one that owns the first bytes gives the headers", arguments: assembling)
    func heads(_ policy: OverlapPolicy) throws {
        for order in [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1]] {
            let rig = try Rig(policy)
            let sample = Sample(size: 48)
            var fragments = [
                sample.fragment(0, 0, more: true, bytes: [UInt8](repeating: 1, count: 16)),
                sample.fragment(0, 0, more: true, bytes: [UInt8](repeating: 2, count: 32)),
                sample.fragment(16, 48),
            ]
            // The two differ in the time to live, 1 and 2.
            for number in 0...1 {
                fragments[number][22] = UInt8(number + 1)
                let packet = withChecksum(Array(fragments[number][14...]))
                fragments[number] = Array(fragments[number][..<14]) + packet
            }
            rig.send(order.map { fragments[$0] })
            let datagram = try #require(rig.datagrams.first?.bytes)
            #expect(datagram[22] == datagram[34], "the header and the first byte are of one fragment")
            rig.expectNothingLost()
        }
    }
}
