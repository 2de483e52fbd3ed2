internal import CMachine

/// A set of CPU numbers, written as in `taskset` and the kernel: `2-5,8`.
public struct CPUSet: Sendable, Equatable, CustomStringConvertible {
    /// CPU numbers above this are refused.
    public static let limit = 1024

    /// One bit per CPU.
    private var words = [UInt64](repeating: 0, count: limit / 64)

    /// The empty set.
    public init() {}

    /// The set of these CPUs, each below `limit`.
    public init(_ cpus: some Sequence<Int>) {
        for cpu in cpus { insert(cpu) }
    }

    /// Parses `2-5,8`; nil if it is not of that form, empty, or beyond `limit`.
    public init?(parsing text: String) {
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = Int(ends[0]), let last = Int(ends[ends.count - 1]),
                first >= 0, first <= last, last < Self.limit
            else { return nil }
            for cpu in first...last { insert(cpu) }
        }
    }

    /// The CPUs the calling thread may run on (sched_getaffinity(2)).
    public static func available() -> CPUSet {
        var set = CPUSet()
        let status = unsafe set.words.withUnsafeMutableBufferPointer {
            unsafe spillway_affinity($0.baseAddress, $0.count)
        }
        return status == 0 ? set : CPUSet([0])
    }

    /// Adds one CPU.
    public mutating func insert(_ cpu: Int) {
        words[cpu / 64] |= 1 << UInt64(cpu % 64)
    }

    /// Whether the CPU is in the set.
    public func contains(_ cpu: Int) -> Bool {
        words[cpu / 64] >> UInt64(cpu % 64) & 1 == 1
    }

    /// Ascending CPU numbers.
    public var members: [Int] {
        (0..<Self.limit).filter(contains)
    }

    /// Whether there is none.
    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// Whether every member is also in `other`.
    public func isSubset(of other: CPUSet) -> Bool {
        zip(words, other.words).allSatisfy { $0 & ~$1 == 0 }
    }

    /// As it is written: `2-5,8`.
    public var description: String {
        var runs: [(Int, Int)] = []
        for cpu in members {
            if let last = runs.last, last.1 + 1 == cpu { runs[runs.count - 1].1 = cpu } else { runs.append((cpu, cpu)) }
        }
        return runs.map { $0.0 == $0.1 ? "\($0.0)" : "\($0.0)-\($0.1)" }.joined(separator: ",")
    }

    /// Restricts the calling thread to this set.
    public func pinCurrentThread() throws(SystemError) {
        let status = unsafe words.withUnsafeBufferPointer {
            unsafe spillway_pin_self($0.baseAddress, $0.count)
        }
        if status != 0 { throw SystemError("sched_setaffinity", "CPUs \(self)", code: status) }
    }
}
