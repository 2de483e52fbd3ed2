import Glibc

/// SplitMix64, the same as in the C++ program, so that both work on the same ranges.
struct Generator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// Ranges of 1 to 100 positions at random places, one per 1000 positions on average.
    mutating func ranges(_ count: Int, spreadOver size: Int) -> [Range<UInt64>] {
        (0..<count).map { _ in
            let lower = next() % (UInt64(size) * 1000)
            return lower..<lower + 1 + next() % 100
        }
    }
}

/// Ranges of 5 positions in order, with gaps of 5.
func orderedRanges(_ count: Int) -> [Range<UInt64>] {
    (0..<UInt64(count)).map { $0 * 10..<$0 * 10 + 5 }
}

/// CPU time of this thread in nanoseconds: time in which others had the core does not count.
func threadTime() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

/// Keeps results alive, so that no work is optimised away.
nonisolated(unsafe) var sink = 0

/// Prints one line: the measure, the size, and nanoseconds per operation.
func measure(_ name: String, _ size: Int, operations: Int, _ body: () throws -> Int) rethrows {
    let start = threadTime()
    let result = try body()
    let nanoseconds = (threadTime() - start) / Double(operations)
    sink &+= result
    report(name, size, nanoseconds)
}

func report(_ name: String, _ size: Int, _ value: Double) {
    // Three digits behind the point are enough for every unit used here.
    let thousandths = Int((value * 1000).rounded())
    let fraction = String(thousandths % 1000)
    print("\(name)\t\(size)\t\(thousandths / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)")
}
