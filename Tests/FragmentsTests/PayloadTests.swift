@_spi(Testing) import Fragments
import Synchronization
import Testing

/// A label; the newer one wins, equal neighbours are one.
struct Label: PayloadTraits, Hashable, SerializablePayload {
    var name: UInt8
    func write(to writer: inout FragmentWriter) { writer.append(name) }
    init(_ name: UInt8) { self.name = name }
    init(from reader: inout FragmentReader) throws(FragmentFormatError) { name = try reader.byte() }
}

/// How many peers have a part: counts add up where fragments overlap.
struct Availability: PayloadTraits, Hashable {
    var peers: Int
    static func overlay(_ new: Availability, on existing: Availability) -> Availability {
        Availability(peers: new.peers + existing.peers)
    }
}

/// Where the bytes of a part lie in a file; parts that follow one another in the file are one.
struct Source: PayloadTraits, Hashable {
    var offset: Int
    func cut<Bound: FragmentBound>(from whole: Range<Bound>, to part: Range<Bound>) -> Source {
        Source(offset: offset + Int(part.lowerBound - whole.lowerBound))
    }
    static func mayMerge<Bound: FragmentBound>(_ left: Fragment<Bound, Source>, _ right: Fragment<Bound, Source>)
        -> Bool
    {
        left.payload.offset + Int(left.length) == right.payload.offset
    }
}

/// Ranges that stay apart although they touch, and have no size.
struct Apart: PayloadTraits, Hashable {
    static func mayMerge<Bound: FragmentBound>(_ left: Fragment<Bound, Apart>, _ right: Fragment<Bound, Apart>) -> Bool
    {
        false
    }
}

/// A payload whose merge answers wrongly, in a way that the payload says.
struct Broken: PayloadTraits, Hashable {
    enum Way: CaseIterable { case nothing, short, gap, overlap, reversed, long }
    var way: Way
    static var allowsEmptyFragments: Bool { false }
    static func merge<Bound: FragmentBound>(
        _ run: [Fragment<Bound, Broken>], with new: Fragment<Bound, Broken>, into result: inout MergedRun<Bound, Broken>
    ) {
        let (lower, upper) = (min(run[0].lowerBound, new.lowerBound), max(run.last!.upperBound, new.upperBound))
        func add(_ lower: Bound, _ upper: Bound) {
            if let fragment = try? Fragment(lower, upper, Broken(way: .nothing)) { result.append(fragment) }
        }
        switch new.payload.way {
        case .nothing: break
        case .short: add(lower, upper - 1)
        case .gap:
            add(lower, lower + 1)
            add(lower + 2, upper)
        case .overlap:
            add(lower, lower + 2)
            add(lower + 1, upper)
        case .reversed:
            add(lower + 1, upper)
            add(lower, lower + 1)
        case .long: add(lower, upper + 1)
        }
    }
}

struct PayloadTests {
    @Test func emptyPayloadsTakeNoMemory() throws {
        #expect(MemoryLayout<Fragment<UInt64, NoPayload>>.size == 2 * MemoryLayout<UInt64>.size)
        #expect(MemoryLayout<Fragment<UInt64, NoPayload>>.stride == 16)
        let ranges: [Range<UInt64>] = spaced(1000, every: 3, length: 1)
        let bare = try RangeList<UInt64>(ranges)
        let apart = try FragmentList<UInt64, Apart>(ranges.map { try Fragment($0, Apart()) })
        let labelled = try FragmentList<UInt64, Label>(ranges.map { try Fragment($0, Label(1)) })
        #expect(apart.allocatedByteCount == bare.allocatedByteCount)
        #expect(labelled.allocatedByteCount > bare.allocatedByteCount)
    }

    @Test func equalNeighboursAreOne() throws {
        var generator = SeededGenerator("labels")
        try compare(&generator, values: 3, make: { Label(UInt8($0)) }, overlay: { new, _ in new })
    }

    @Test func overlaysAddUp() throws {
        var generator = SeededGenerator("availability")
        try compare(&generator, values: 2, make: { Availability(peers: $0 + 1) }) {
            Availability(peers: $0.peers + ($1?.peers ?? 0))
        }
    }

    /// Random histories against one optional payload per position.
    func compare<Payload: PayloadTraits & Hashable>(
        _ generator: inout SeededGenerator, values: Int, make: (Int) -> Payload, overlay: (Payload, Payload?) -> Payload
    ) throws {
        for (domain, steps) in [(12, 4000), (3000, 6000)] {
            var list = FragmentList<UInt32, Payload>(limit: UInt32(domain))
            var cells = [Payload?](repeating: nil, count: domain)
            for step in 0..<steps {
                let range = generator.range(in: domain, length: 6)
                let asked = range.of(UInt32.self)
                if Int.random(in: 0..<10, using: &generator) < 6 {
                    let payload = make(Int.random(in: 0..<values, using: &generator))
                    let gained = range.count { cells[$0] == nil }
                    for position in range { cells[position] = overlay(payload, cells[position]) }
                    try #require(try list.insert(Fragment(asked, payload)) == UInt32(gained))
                } else {
                    let lost = range.count { cells[$0] != nil }
                    for position in range { cells[position] = nil }
                    try #require(try list.erase(asked) == UInt32(lost))
                }
                if step % 10 == 0 || domain == 12 { try check(list, cells) }
            }
        }
    }

    /// The list holds what the cells hold, in maximal runs of equal payloads.
    func check<Payload: PayloadTraits & Hashable>(_ list: FragmentList<UInt32, Payload>, _ cells: [Payload?]) throws {
        var expected: [Fragment<UInt32, Payload>] = []
        for (position, payload) in cells.enumerated() {
            guard let payload else { continue }
            let position = UInt32(position)
            if let last = expected.last, last.upperBound == position, last.payload == payload {
                expected[expected.count - 1] = try last.with(lowerBound: last.lowerBound, upperBound: position + 1)
            } else {
                expected.append(try Fragment(position, position + 1, payload))
            }
        }
        try #require(Array(list) == expected)
        try #require(list.violation() == nil)
    }

    /// A payload that knows its place says the same for every position after any cutting and joining.
    @Test func cutsMoveAnOffset() throws {
        var generator = SeededGenerator("offsets")
        var list = FragmentList<UInt32, Source>(limit: 2000)
        var cells = [Int?](repeating: nil, count: 2000)
        for step in 0..<4000 {
            let range = generator.range(in: 2000, length: 30)
            if step % 3 == 0 {
                for position in range { cells[position] = nil }
                try list.erase(range.of(UInt32.self))
            } else {
                // Two files, each laid out like the list, so that neighbours often follow one another.
                let file = Int.random(in: 0..<2, using: &generator) * 1_000_000
                for position in range { cells[position] = file + position }
                try list.insert(Fragment(range.of(UInt32.self), Source(offset: file + range.lowerBound)))
            }
            if step % 50 == 0 {
                var seen = [Int?](repeating: nil, count: 2000)
                for fragment in list {
                    for position in fragment.range {
                        seen[Int(position)] = fragment.payload.offset + Int(position - fragment.lowerBound)
                    }
                }
                try #require(seen == cells)
                try #require(list.violation() == nil)
            }
        }
    }

    @Test func touchingRangesCanStayApart() throws {
        var list = FragmentList<UInt8, Apart>(limit: 20)
        for range in [2..<4, 6..<8, 4..<6] as [Range<UInt8>] { try list.insert(Fragment(range, Apart())) }
        #expect(list.map { $0.range } == [2..<4, 4..<6, 6..<8])
        #expect(try list.insert(Fragment(3..<7, Apart())) == 0)
        #expect(list.lengthSum == 6 && list.violation() == nil)
        #expect(list.contains(2..<8) && !list.contains(2..<9))
        #expect(Array(list.gaps) == [0..<2, 8..<20])
        #expect(list.complement().ranges == [0..<2, 8..<20])
        let whole: RangeList<UInt8> = [2..<8]
        #expect(list.isSubset(of: whole) && list.isSuperset(of: whole))
    }

    /// Exhaustive: any labels on a small domain, combined with any others.
    @Test func setAlgebraKeepsPayloads() throws {
        let domain = 4
        let all = (0..<81).map { code in
            (0..<domain).map { k -> Label? in
                let digit = (0..<k).reduce(code) { rest, _ in rest / 3 } % 3
                return digit == 0 ? nil : Label(UInt8(digit))
            }
        }
        let lists = try all.map { cells in
            var list = FragmentList<UInt32, Label>(limit: UInt32(domain))
            for (k, cell) in cells.enumerated() {
                if let cell { try list.insert(Fragment(UInt32(k), UInt32(k + 1), cell)) }
            }
            return list
        }
        for (a, left) in zip(all, lists) {
            try check(left, a)
            for (b, right) in zip(all, lists) {
                let pairs = Array(zip(a, b))
                try check(left.union(right), pairs.map { $1 ?? $0 })
                try check(left.intersection(right), pairs.map { $1 == nil ? nil : $0 })
                try check(left.subtracting(right), pairs.map { $1 == nil ? $0 : nil })
                try check(left.symmetricDifference(right), pairs.map { $0 == nil ? $1 : $1 == nil ? $0 : nil })
            }
        }
    }

    @Test(arguments: Broken.Way.allCases) func wrongMergeIsAnErrorAndChangesNothing(_ way: Broken.Way) throws {
        var list = FragmentList<UInt8, Broken>(limit: 100)
        try list.insert(Fragment(10, 20, Broken(way: .nothing)))
        try list.insert(Fragment(30, 40, Broken(way: .nothing)))
        let before = list
        #expect(throws: FragmentError<UInt8>.invalidMerge(lowerBound: 10, upperBound: 40)) {
            try list.insert(Fragment(15, 35, Broken(way: way)))
        }
        #expect(list == before && list.violation() == nil)
    }

    @Test func payloadsConvert() throws {
        let labels = try FragmentList<UInt8, Label>([
            Fragment(1, 3, Label(1)), Fragment(3, 5, Label(2)), Fragment(7, 9, Label(1)),
        ])
        #expect(labels.mapPayloads { _ in NoPayload() }.ranges == [1..<5, 7..<9])
        #expect(
            labels.mapPayloads { Availability(peers: Int($0.length)) }.map { $0.payload.peers } == [2, 2].dropLast() + [
                2
            ])
        let one = try Fragment<UInt8, Label>(1, 3, Label(1))
        #expect(try one.mapPayload { Availability(peers: Int($0.name)) }.payload == Availability(peers: 1))
    }
}

/// Counts the objects that payloads hold alive.
final class Tracked: Sendable {
    private static let count = Atomic<Int>(0)
    static var alive: Int { count.load(ordering: .relaxed) }
    init() { Self.count.add(1, ordering: .relaxed) }
    deinit { Self.count.subtract(1, ordering: .relaxed) }
}

struct Holder: PayloadTraits {
    var tracked = Tracked()
    static func mayMerge<Bound: FragmentBound>(_ left: Fragment<Bound, Holder>, _ right: Fragment<Bound, Holder>)
        -> Bool
    {
        left.payload.tracked === right.payload.tracked
    }
}

struct PayloadLifetimeTests {
    /// Nothing leaks and nothing dies early, through splits, joins, copies and removals.
    @Test func objectsLiveExactlyAsLongAsTheirRanges() throws {
        var generator = SeededGenerator("lifetimes")
        do {
            var list = FragmentList<UInt32, Holder>(limit: 20_000)
            var copies: [FragmentList<UInt32, Holder>] = []
            for step in 0..<30_000 {
                let range = generator.range(in: 20_000, length: 4).of(UInt32.self)
                if step % 4 == 0 || (10_000..<20_000).contains(step) && step % 4 != 1 {
                    try list.erase(range)
                } else {
                    try list.insert(Fragment(range, Holder()))
                }
                if step % 5000 == 0 { copies.append(list) }
                if step % 7000 == 0 { copies.removeAll() }
                if step % 3000 == 0 {
                    copies.removeAll()
                    #expect(Tracked.alive == Set(list.map { ObjectIdentifier($0.payload.tracked) }).count)
                    #expect(list.violation() == nil)
                }
            }
            list.removeAll()
            copies.removeAll()
            #expect(Tracked.alive == 0)
        }
    }
}
