import Fragments
import Glibc
import Testing

// The examples of the README, line for line. `theReadmeShowsTheseExamples` keeps the two the same.

private enum ReadmeExamples {
    struct Availability: PayloadTraits, Equatable {
        var peers: Int
        static func overlay(_ new: Availability, on existing: Availability) -> Availability {
            Availability(peers: existing.peers + new.peers)
        }
    }
}

struct ReadmeTests {
    fileprivate typealias Availability = ReadmeExamples.Availability

    @Test func insertAndErase() throws {
        var received = RangeList<UInt64>(limit: 1000)
        try received.insert(0..<100)  // 100 positions are new
        try received.insert(200..<300)  // 100
        try received.insert(50..<250)  // 100: it fills the gap
        try received.erase(10..<20)  // 10 positions were there
        print(received)  // [0..<10, 20..<300]
        print(received.lengthSum, received.missing)  // 290 710
        print(Array(received.gaps))  // [10..<20, 300..<1000]
        do {
            try received.insert(900..<1001)
        } catch FragmentError.exceedsLimit(let end, let limit) {
            print("\(end) is beyond \(limit)")
        }
        #expect(received == [0..<10, 20..<300] && received.lengthSum == 290 && received.missing == 710)
        #expect(Array(received.gaps) == [10..<20, 300..<1000])
    }

    @Test func collection() throws {
        let list: RangeList<UInt32> = [10..<20, 40..<45, 90..<100]
        print(list[1], list.count, list.largest!)  // 40..<45 3 10..<20
        print(list.contains(42), list.overlaps(20..<40))  // true false
        print(list.overlappingSum(15..<42))  // 7
        print(list.indices(overlapping: 15..<42))  // 0..<2
        for fragment in list.reversed() { print(fragment.range, fragment.length) }
        #expect(list[1].range == 40..<45 && list.count == 3 && list.largest?.range == 10..<20)
        #expect(list.contains(42) && !list.overlaps(20..<40) && list.overlappingSum(15..<42) == 7)
        #expect(list.indices(overlapping: 15..<42) == 0..<2)
    }

    @Test func setAlgebra() throws {
        let mine: RangeList<UInt32> = [0..<50, 80..<90]
        let theirs: RangeList<UInt32> = [40..<85]
        print(mine.union(theirs))  // [0..<90]
        print(mine.intersection(theirs))  // [40..<50, 80..<85]
        print(mine.subtracting(theirs))  // [0..<40, 85..<90]
        print(mine.symmetricDifference(theirs))  // [0..<40, 50..<80, 85..<90]
        print(mine.isDisjoint(with: [50..<80]))  // true
        #expect(mine.union(theirs) == [0..<90])
        #expect(mine.intersection(theirs) == [40..<50, 80..<85])
        #expect(mine.subtracting(theirs) == [0..<40, 85..<90])
        #expect(mine.symmetricDifference(theirs) == [0..<40, 50..<80, 85..<90])
        #expect(mine.isDisjoint(with: [50..<80]))
    }

    @Test func together() throws {
        let built = try RangeList<UInt64>([70..<80, 10..<20, 15..<30], limit: 100)
        print(built)  // [10..<30, 70..<80]
        #expect(built == [10..<30, 70..<80])
    }

    @Test func hints() throws {
        var parts = RangeList<UInt64>(limit: 1 << 30)
        var hint = InsertionHint<UInt64, NoPayload>()
        for piece in 0..<100 as Range<UInt64> {
            try parts.insert(piece * 16..<piece * 16 + 16, hint: &hint)
        }
        print(parts)  // [0..<1600]
        #expect(parts == [0..<1600])
    }

    @Test func payloads() throws {
        var available = FragmentList<UInt64, Availability>(limit: 100)
        try available.insert(Fragment(0..<60, Availability(peers: 1)))
        try available.insert(Fragment(40..<100, Availability(peers: 1)))
        for fragment in available { print(fragment.range, fragment.payload.peers) }  // 0..<40 1, 40..<60 2, 60..<100 1
        #expect(available.map { $0.range } == [0..<40, 40..<60, 60..<100])
        #expect(available.map { $0.payload.peers } == [1, 2, 1])
    }

    @Test func queue() throws {
        var requests = FragmentQueue<UInt64, NoPayload>()
        requests.append(0..<100)
        requests.append(200..<300)
        requests.erase(40..<60)  // answered out of turn: the tail of the first request goes to the back
        print(requests)  // [0..<40, 200..<300, 60..<100]
        print(requests.popFirst()!)  // 0..<40
        print(requests.extract(250..<260))  // [200..<300]
        #expect(requests.map { $0.range } == [60..<100])
    }

    @Test func state() throws {
        var state: RangeList<UInt64> = [0..<100, 200..<300]
        try state.setLimit(1000)
        let bytes = state.serialized()
        let restored = try RangeList<UInt64>(serialized: bytes)
        print(restored == state, restored.limit)  // true 1000
        #expect(restored == state && restored.limit == 1000)
    }

    @Test func dataPlane() throws {
        let size = FixedFragmentList<UInt16>.byteCount(capacity: 16)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer { unsafe memory.deallocate() }
        var datagram = unsafe FixedFragmentList<UInt16>(memory: memory, limit: 1480)
        try datagram.insert(0, 740)
        print(datagram.firstGap(from: 0)!)  // 740..<1480
        let gap = datagram.firstGap(from: 0)
        #expect(gap == 740..<1480)
    }

    /// Every example in the README stands in this file, whatever its indentation.
    @Test func theReadmeShowsTheseExamples() throws {
        let own = try Self.lines(of: #filePath)
        let folder = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let readme = try Self.lines(of: "/\(folder)/Sources/Fragments/README.md")
        var example: [String]?
        var examples = 0
        for line in readme {
            if line == "```swift" {
                example = []
            } else if line == "```", let lines = example {
                #expect(own.indices.contains { own[$0...].starts(with: lines) }, "not compiled: \(lines)")
                examples += 1
                example = nil
            } else {
                example?.append(line)
            }
        }
        #expect(examples == 10)
    }

    /// The lines of a text file without the spaces around them.
    static func lines(of path: String) throws -> [String] {
        let file = unsafe try #require(fopen(path, "r"))
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = unsafe getc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map {
            line in
            let start = line.drop { $0 == " " }
            return String(start.reversed().drop { $0 == " " }.reversed())
        }
    }
}
