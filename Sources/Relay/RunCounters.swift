internal import Machine

/// The counters of a run's threads, and the sums people ask for.
struct RunCounters: Sendable {
    /// One per input and its worker.
    let captures: [Counters]
    let workers: [Counters]
    /// One per destination, in the order of the plans.
    let destinations: [Counters]

    init(lanes: Int, destinations count: Int) throws(SystemError) {
        func make(_ count: Int) throws(SystemError) -> [Counters] {
            var made: [Counters] = []
            for _ in 0..<count { made.append(try Counters()) }
            return made
        }
        captures = try make(lanes)
        workers = try make(lanes)
        destinations = try make(count)
    }

    /// Sums over some lanes. Workers are read first here too.
    func snapshot(lanes: [Int]) -> (captures: CounterSnapshot, workers: CounterSnapshot) {
        let sum = lanes.reduce(CounterSnapshot()) { $0 + workers[$1].snapshot() }
        return (lanes.reduce(CounterSnapshot()) { $0 + captures[$1].snapshot() }, sum)
    }

    /// Sums over all inputs and workers. Workers are read first: what they received was certainly captured before.
    func snapshot() -> CounterSnapshot {
        let workers = workers.reduce(CounterSnapshot()) { $0 + $1.snapshot() }
        return captures.reduce(workers) { $0 + $1.snapshot() }
    }
}
