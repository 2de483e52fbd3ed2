@_spi(Testing) import Fragments
import Testing

/// What one expects of any container of the standard library.
struct ContainerTests {
    @Test func swapExchangesEverything() throws {
        var (a, b) = (try RangeList<UInt8>([1..<3], limit: 10), try RangeList<UInt8>([5..<6, 8..<9], limit: 20))
        a.swap(with: &b)
        #expect(a == [5..<6, 8..<9] && a.limit == 20)
        #expect(b == [1..<3] && b.limit == 10)
        swap(&a, &b)
        #expect(a.limit == 10 && b.limit == 20)
    }

    @Test func valuesAreIndependent() throws {
        var original = try RangeList<UInt64>(spaced(500, every: 4, length: 2) as [Range<UInt64>])
        let copy = original
        var iterator = original.makeIterator()
        let gaps = original.gaps(in: 0..<2000)
        try original.insert(0..<2000)
        #expect(copy.count == 500 && original.count == 1)
        #expect(iterator.next()?.range == 0..<2)
        #expect(Array(gaps).count == 500)
        original.removeAll()
        #expect(original.isEmpty && original.limit == RangeList<UInt64>.unlimited && copy.count == 500)
    }

    @Test func equalListsHashEqually() throws {
        let one: RangeList<UInt32> = [1..<3, 5..<9]
        var other: RangeList<UInt32> = [0..<20]
        for range in [0..<1, 3..<5, 9..<20] as [Range<UInt32>] { try other.erase(range) }
        #expect(one == other && one.hashValue == other.hashValue && Set([one, other]).count == 1)
        #expect(one != [1..<3, 5..<8] && one != [1..<3] && one != [])
        #expect("\(one)" == "[1..<3, 5..<9]")
        let labels = try FragmentList<UInt32, Label>([Fragment(1, 2, Label(7))])
        #expect("\(labels)" == "[1..<2: Label(name: 7)]")
    }

    @Test func indicesFollowTheRules() throws {
        let list = try RangeList<UInt32>(spaced(1000, every: 3, length: 1) as [Range<UInt32>])
        #expect(list.endIndex == 1000 && list.count == 1000 && Array(list).count == 1000)
        for index in [0, 1, 63, 64, 65, 500, 999] { #expect(list[index].lowerBound == UInt32(index * 3)) }
        #expect(list[10..<13].map { $0.lowerBound } == [30, 33, 36])
        #expect(list.firstIndex { $0.lowerBound == 300 } == 100)
        #expect(list.randomElement().map { list.contains($0) } == true)
        #expect(list.lazy.map { $0.length }.reduce(0, +) == list.lengthSum)
    }

    @Test func removalByIndex() throws {
        var list = try RangeList<UInt32>(spaced(300, every: 3, length: 1) as [Range<UInt32>])
        #expect(list.remove(at: 100).range == 300..<301)
        #expect(list.count == 299 && list[100].lowerBound == 303 && list.violation() == nil)
    }

    @Test func newlyCoveredRangesAreTold() throws {
        var list: RangeList<UInt32> = [5..<8, 10..<12]
        var told: [Range<UInt32>] = []
        #expect(try list.insert(Fragment(0, 15)) { told.append($0) } == 10)
        #expect(told == [0..<5, 8..<10, 12..<15] && list == [0..<15])
        #expect(try list.insert(Fragment(3, 6)) { _ in Issue.record("nothing is new") } == 0)
    }

    @Test func listsCrossTasks() async throws {
        let list = try RangeList<UInt64>(spaced(5000, every: 4, length: 2) as [Range<UInt64>])
        let sums = await withTaskGroup(of: UInt64.self) { group in
            for task in 0..<4 {
                group.addTask {
                    var own = list
                    for k in 0..<5000 { _ = try? own.erase(UInt64(k * 4)..<UInt64(k * 4 + 1)) }
                    return own.lengthSum + list.lengthSum + UInt64(task - task)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(sums == [15_000, 15_000, 15_000, 15_000])
    }

    @Test func misuseStops() async {
        await #expect(processExitsWith: .failure) { _ = RangeList<UInt8>()[0] }
        await #expect(processExitsWith: .failure) {
            let list: RangeList<UInt8> = [1..<2]
            _ = list[-1]
        }
        await #expect(processExitsWith: .failure) {
            let list: RangeList<UInt8> = [1..<2]
            _ = list.position(atCoveredOffset: 1)
        }
        await #expect(processExitsWith: .failure) {
            let queue = FragmentQueue<UInt8, NoPayload>()
            _ = queue[0]
        }
    }
}
