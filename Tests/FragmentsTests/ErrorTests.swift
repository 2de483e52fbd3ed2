@_spi(Testing) import Fragments
import Testing

/// Every error, and that the list is what it was before.
struct ErrorTests {
    typealias Failure = FragmentError<UInt32>

    @Test func invalidRanges() throws {
        #expect(throws: Failure.invalidRange(lowerBound: 5, upperBound: 4)) { try Fragment<UInt32, NoPayload>(5, 4) }
        #expect(throws: Failure.invalidRange(lowerBound: .max, upperBound: 0)) {
            try Fragment<UInt32, Label>(.max, 0, Label(1))
        }
        #expect(throws: Failure.emptyRange(at: 5)) { try Fragment<UInt32, Broken>(5, 5, Broken(way: .gap)) }
        #expect(throws: Failure.emptyRange(at: 5)) { try Fragment<UInt32, Broken>(5..<5, Broken(way: .gap)) }
        #expect(try Fragment<UInt32, NoPayload>(5, 5).isEmpty)
        let fragment = try Fragment<UInt32, Label>(1, 5, Label(1))
        #expect(throws: Failure.invalidRange(lowerBound: 5, upperBound: 1)) {
            try fragment.with(lowerBound: 5, upperBound: 1)
        }
    }

    /// Lists of all sizes from none to several levels.
    static let counts = [0, 1, 8, 9, 64, 65, 5000]

    static func list(_ count: Int) throws -> RangeList<UInt32> {
        try RangeList(spaced(count, every: 4, length: 2) as [Range<UInt32>], limit: 20_000)
    }

    @Test(arguments: counts) func beyondTheLimit(_ count: Int) throws {
        let original = try Self.list(count)
        let error = Failure.exceedsLimit(upperBound: 20_001, limit: 20_000)
        let beyond: Range<UInt32> = 2..<20_001
        func fails(_ body: (inout RangeList<UInt32>) throws -> Void) {
            var list = original
            #expect(throws: error) { try body(&list) }
            #expect(list == original && list.limit == 20_000 && list.violation() == nil)
        }
        fails { try $0.insert(beyond) }
        fails { try $0.insert(Fragment(beyond)) }
        fails { try $0.insert(20_001..<20_001) }
        fails { try $0.insert(Fragment(beyond)) { _ in Issue.record("told although nothing was covered") } }
        fails { try $0.erase(beyond) }
        fails { _ = try $0.extract(beyond) }
        fails { try $0.append(Fragment(20_000, 20_001)) }
        fails { try $0.insert(contentsOf: [0..<1, beyond, 5..<8]) }
        fails { try $0.formUnion(try RangeList([beyond])) }
        fails { try $0.formSymmetricDifference(try RangeList([beyond])) }
        var hint = InsertionHint<UInt32, NoPayload>()
        fails { try $0.insert(beyond, hint: &hint) }
    }

    @Test(arguments: counts) func limitsMove(_ count: Int) throws {
        let original = try Self.list(count)
        var list = original
        #expect(list.missing == 20_000 - list.lengthSum)
        if original.end > 0 {
            #expect(throws: Failure.limitBelowContents(limit: original.end - 1, end: original.end)) {
                try list.setLimit(original.end - 1)
            }
        }
        #expect(list.limit == 20_000)
        try list.setLimit(original.end)
        #expect(list.limit == original.end && list == original)
        try list.ensureLimit(30_000)
        #expect(list.limit == 30_000)
        try list.ensureLimit(25_000)
        #expect(list.limit == 30_000)
        try list.setLimit(RangeList<UInt32>.unlimited)
        #expect(!list.isLimitKnown)
        if original.end > 0 {
            #expect(throws: Failure.limitBelowContents(limit: 0, end: original.end)) { try list.ensureLimit(0) }
        }
        try list.ensureLimit(20_000)
        #expect(list.isLimitKnown && list.limit == 20_000)
    }

    @Test func appendOnlyBehind() throws {
        var list: RangeList<UInt32> = [1..<5]
        #expect(throws: Failure.outOfOrder(lowerBound: 4, end: 5)) { try list.append(try Fragment(4, 9)) }
        #expect(list == [1..<5])
        try list.append(Fragment(5, 7))
        try list.append(Fragment(8, 9))
        try list.append(Fragment(20, 20))
        #expect(list == [1..<7, 8..<9] && list.violation() == nil)
    }

    @Test func sequencesStopAtTheFirstError() throws {
        var list = try RangeList<UInt32>([0..<50], limit: 100)
        #expect(throws: Failure.exceedsLimit(upperBound: 101, limit: 100)) {
            try list.erase(contentsOf: [0..<10, 90..<101, 20..<30])
        }
        #expect(list == [10..<50])
        #expect(throws: Failure.exceedsLimit(upperBound: 101, limit: 100)) {
            try list.insert(contentsOf: [try Fragment(60, 70), try Fragment(90, 101), try Fragment(80, 85)])
        }
        #expect(list == [10..<50, 60..<70] && list.violation() == nil)
    }

    @Test func everyErrorHasItsSentence() {
        let errors: [Failure] = [
            .invalidRange(lowerBound: 2, upperBound: 1), .emptyRange(at: 3), .exceedsLimit(upperBound: 9, limit: 8),
            .limitBelowContents(limit: 1, end: 2), .outOfOrder(lowerBound: 1, end: 2),
            .invalidMerge(lowerBound: 1, upperBound: 2), .full(capacity: 4),
        ]
        #expect(Set(errors.map { $0.description }).count == errors.count)
    }
}
