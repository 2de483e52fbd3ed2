import Fragments
import Testing

/// Queues against a model that knows every entry as its positions.
struct QueueTests {
    @Test func history() throws {
        var generator = SeededGenerator("queue")
        var queue = FragmentQueue<UInt16, Label>()
        var model: [(positions: [Int], label: UInt8)] = []
        for _ in 0..<8000 {
            let range = generator.range(in: 60, length: 9)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                let label = UInt8.random(in: 0..<4, using: &generator)
                queue.append(try Fragment(range.of(UInt16.self), Label(label)))
                if !range.isEmpty { model.append((Array(range), label)) }
            case 5..<7:
                let first = queue.popFirst()
                let expected = model.isEmpty ? nil : model.removeFirst()
                #expect(first.map { $0.range.map { Int($0) } } == expected?.positions)
                #expect(first?.payload.name == expected?.label)
            case 7..<9:
                let removed = model.reduce(0) { $0 + $1.positions.count { range.contains($0) } }
                #expect(queue.erase(range.of(UInt16.self)) == UInt16(removed))
                Self.erase(range, &model)
            default:
                let expected = model.filter { $0.positions.contains { range.contains($0) } }
                model.removeAll { $0.positions.contains { range.contains($0) } }
                #expect(Self.same(queue.extract(range.of(UInt16.self)), expected))
            }
            #expect(Self.same(Array(queue), model))
        }
    }

    /// What is left of each entry stays in its place; of two parts the second goes to the back.
    static func erase(_ range: Range<Int>, _ model: inout [(positions: [Int], label: UInt8)]) {
        var tails: [(positions: [Int], label: UInt8)] = []
        model = model.compactMap { entry in
            let left = entry.positions.filter { !range.contains($0) }
            guard let cut = left.indices.dropFirst().first(where: { left[$0] != left[$0 - 1] + 1 }) else {
                return left.isEmpty ? nil : (left, entry.label)
            }
            tails.append((Array(left[cut...]), entry.label))
            return (Array(left[..<cut]), entry.label)
        }
        model += tails
    }

    static func same(_ fragments: [Fragment<UInt16, Label>], _ model: [(positions: [Int], label: UInt8)]) -> Bool {
        fragments.elementsEqual(model) { $0.range.map { Int($0) } == $1.positions && $0.payload.name == $1.label }
    }

    @Test func theRest() throws {
        var queue = FragmentQueue<UInt64, NoPayload>()
        for lower in 0..<10 as Range<UInt64> { queue.append(lower * 10..<lower * 10 + 5) }
        queue.append(3..<3)
        #expect(queue.count == 10 && queue.lengthSum == 50 && queue.first?.range == 0..<5)
        #expect(queue.erase(contentsOf: [0..<12, 52..<54] as RangeList<UInt64>) == 9)
        #expect(
            queue.map { $0.range } == [
                12..<15, 20..<25, 30..<35, 40..<45, 50..<52, 60..<65, 70..<75, 80..<85, 90..<95, 54..<55,
            ])
        #expect(queue.remove(at: 1).range == 20..<25)
        var other = FragmentQueue<UInt64, NoPayload>([Fragment(1..<2)])
        other.swap(with: &queue)
        #expect(queue == FragmentQueue([Fragment(1..<2)]) && other.count == 9)
        #expect("\(queue)" == "[1..<2]" && Set([queue, queue]).count == 1)
        queue.removeAll()
        #expect(queue.isEmpty && queue.popFirst() == nil)
    }

    @Test func cutsMoveAnOffset() throws {
        var queue = FragmentQueue<UInt64, Source>()
        queue.append(try Fragment(100, 200, Source(offset: 1000)))
        queue.erase(140..<150)
        #expect(queue.map { $0.payload.offset } == [1000, 1050])
    }
}
