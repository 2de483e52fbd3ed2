import Fragments
import Glibc
import Testing

/// The simplest list of ranges there is: one flag per position.
struct Bits: Equatable {
    var flags: [Bool]

    init(count: Int) { flags = [Bool](repeating: false, count: count) }

    /// The lowest bits of a number: every set of `count` positions has one.
    init(count: Int, pattern: Int) { flags = (0..<count).map { pattern >> $0 & 1 == 1 } }

    /// Sets or clears a range and returns how many flags changed.
    mutating func set(_ range: Range<Int>, _ value: Bool) -> Int {
        var changed = 0
        for position in range where flags[position] != value {
            flags[position] = value
            changed += 1
        }
        return changed
    }

    /// The maximal runs of set flags.
    var runs: [Range<Int>] {
        var runs: [Range<Int>] = []
        var begin: Int?
        for (position, flag) in (flags + [false]).enumerated() {
            if flag, begin == nil { begin = position }
            if !flag, let open = begin {
                runs.append(open..<position)
                begin = nil
            }
        }
        return runs
    }

    var complement: Bits {
        var other = self
        other.flags = flags.map { !$0 }
        return other
    }

    func combined(_ other: Bits, _ rule: (Bool, Bool) -> Bool) -> Bits {
        var result = self
        result.flags = zip(flags, other.flags).map(rule)
        return result
    }

    func count(_ range: Range<Int>) -> Int { flags[range].count { $0 } }
}

extension Range where Bound == Int {
    func of<Other: FragmentBound>(_ type: Other.Type) -> Range<Other> { Other(lowerBound)..<Other(upperBound) }
}

extension RangeList where Payload == NoPayload {
    /// A list of the runs of an oracle, made by single insertions.
    init(_ bits: Bits, limit: Bound) throws {
        self.init(limit: limit)
        for run in bits.runs { try insert(run.of(Bound.self)) }
    }

    /// The ranges, read by iteration.
    var ranges: [Range<Int>] { map { Int($0.lowerBound)..<Int($0.upperBound) } }
}

/// A generator whose numbers can be had again: the seed is printed, and taken from FRAGMENTS_SEED if set.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ test: String) {
        let given = unsafe getenv("FRAGMENTS_SEED").flatMap { unsafe UInt64(String(cString: $0)) }
        state = given ?? UInt64.random(in: .min ... .max)
        print("\(test): FRAGMENTS_SEED=\(state)")
    }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A range in `0..<domain` that is usually not longer than `length`.
    mutating func range(in domain: Int, length: Int) -> Range<Int> {
        let lower = Int.random(in: 0...domain, using: &self)
        return lower..<min(domain, lower + Int.random(in: 0...length, using: &self))
    }
}

/// Ranges of one length at equal distances, the first one at zero.
func spaced<Bound: FragmentBound>(_ count: Int, every step: Int, length: Int) -> [Range<Bound>] {
    (0..<count).map { k in (k * step..<k * step + length).of(Bound.self) }
}
