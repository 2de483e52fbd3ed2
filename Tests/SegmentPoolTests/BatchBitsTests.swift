import SegmentPool
import TestSupport
import Testing

/// A set of ordinals with words before and behind it that must not change.
@safe private final class GuardedBits {
    // Safe because it owns the words for as long as the bits can be reached through it.
    private let words: UnsafeMutablePointer<UInt64>
    private let count: Int
    let bits: BatchBits

    init(capacity: Int) {
        count = BatchBits.wordCount(capacity: capacity)
        unsafe words = .allocate(capacity: count + 2)
        unsafe words.initialize(repeating: 0, count: count + 2)
        unsafe words[0] = .max
        unsafe words[count + 1] = .max
        unsafe bits = BatchBits(words + 1, capacity: capacity)
    }

    /// Whether the neighbours are untouched.
    var isContained: Bool { unsafe words[0] == .max && words[count + 1] == .max }
    /// Whether nothing is left in any level.
    var isClear: Bool { (1...count).allSatisfy { unsafe words[$0] == 0 } }

    deinit { unsafe words.deallocate() }
}

@Suite("Batch bits")
struct BatchBitsTests {
    @Test("Small capacities, every subset: members, greatest and least", arguments: 1...8)
    func everySubset(capacity: Int) {
        for subset in 0..<(1 << capacity) {
            let guarded = GuardedBits(capacity: capacity)
            let members = (0..<UInt32(capacity)).filter { subset >> Int($0) & 1 == 1 }
            for member in members { guarded.bits.insert(member) }
            for ordinal in 0..<UInt32(capacity) {
                #expect(guarded.bits.contains(ordinal) == members.contains(ordinal))
            }
            // Taken out from both ends in turn, which is how destinations of both orders do it.
            var left = members
            while let (first, last) = left.first.flatMap({ first in left.last.map { (first, $0) } }) {
                #expect(guarded.bits.least == first)
                #expect(guarded.bits.greatest == last)
                guarded.bits.remove(left.count % 2 == 0 ? left.removeFirst() : left.removeLast())
            }
            #expect(guarded.isClear && guarded.isContained)
        }
    }

    @Test(
        "Around the borders of words and levels, every pair",
        arguments: [63, 64, 65, 127, 128, 4095, 4096, 4097, 8192, 1 << 18])
    func pairs(capacity: Int) {
        let borders = [0, 1, 63, 64, 65, 127, 4095, 4096, 4097, 8191, (1 << 18) - 1, capacity - 1]
        let places = Set(borders.filter { $0 < capacity }).sorted().map { UInt32($0) }
        for low in places {
            for high in places where high >= low {
                let guarded = GuardedBits(capacity: capacity)
                guarded.bits.insert(high)
                guarded.bits.insert(low)
                #expect(guarded.bits.least == low)
                #expect(guarded.bits.greatest == high)
                guarded.bits.remove(low)
                #expect(!guarded.bits.contains(low))
                if high > low {
                    #expect(guarded.bits.least == high)
                    guarded.bits.remove(high)
                }
                #expect(guarded.isClear && guarded.isContained)
            }
        }
    }

    @Test("The full capacity against a plain set, at random", arguments: [1, 2, 3, 4] as [UInt64])
    func random(seed: UInt64) {
        var generator = Seeded(seed)
        let guarded = GuardedBits(capacity: 1 << 18)
        var model: Set<UInt32> = []
        for step in 0..<4000 {
            // Now and then somewhere else, otherwise close together, so that words fill and empty.
            let base = UInt32.random(in: 0..<64, using: &generator) << 12
            let ordinal = base + UInt32.random(in: 0..<(step % 3 == 0 ? 4096 : 8), using: &generator)
            if model.contains(ordinal) || model.count > 200 {
                let victim = model.contains(ordinal) ? ordinal : step % 2 == 0 ? model.max()! : model.min()!
                model.remove(victim)
                guarded.bits.remove(victim)
            } else {
                model.insert(ordinal)
                guarded.bits.insert(ordinal)
            }
            #expect(guarded.bits.contains(ordinal) == model.contains(ordinal))
            if let greatest = model.max() { #expect(guarded.bits.greatest == greatest) }
            if let least = model.min() { #expect(guarded.bits.least == least) }
        }
        for ordinal in model { guarded.bits.remove(ordinal) }
        #expect(guarded.isClear && guarded.isContained)
    }
}
