import Admission

/// A relay with a virtual clock: memory that is drained newest first, swept oldest first, and a disk that takes what is diverted.
/// It knows nothing of how the governor decides.
struct SimulatedRelay {
    /// What comes in, bytes per second, at a time in seconds.
    var offered: (Double) -> Double
    /// What the destination takes, bytes per second, at a time in seconds.
    var drain: (Double) -> Double
    /// What the disk takes, bytes per second.
    var disk: (Double) -> Double = { _ in 400e6 }
    /// Whether diverted packets go to the destination when memory has nothing for it.
    var replays = true
    /// A fixed N instead of the governor's.
    var fixed: UInt32?
    /// Whether the sweep takes what is too old or too much.
    var sweeps = true

    static let limits = PoolLimits(capacity: 64 << 20)
    static let step = 0.02
    /// Seconds after which the sweep takes what is unsent.
    static let memoryAge = 5.0

    private(set) var governor = Governor(limits: limits)
    private(set) var time = 0.0
    private(set) var dropped = 0.0
    private(set) var greatestOccupied = 0.0
    private(set) var deliveredLive = 0.0
    private(set) var admitted = 0.0
    /// N after each turn.
    private(set) var history: [UInt32] = []
    /// Live bytes in memory by arrival, oldest first.
    private var live: [(arrival: Double, bytes: Double)] = []
    private var liveBytes = 0.0
    /// Diverted and swept bytes that are still in memory.
    private var leaving = 0.0
    private var onDisk = 0.0

    init(
        offered: @escaping (Double) -> Double, drain: @escaping (Double) -> Double,
        disk: @escaping (Double) -> Double = { _ in 400e6 }, replays: Bool = true, fixed: UInt32? = nil,
        sweeps: Bool = true
    ) {
        (self.offered, self.drain, self.disk, self.replays, self.fixed) = (offered, drain, disk, replays, fixed)
        self.sweeps = sweeps
    }

    var occupied: Double { leaving + liveBytes }
    var n: UInt32 { fixed ?? governor.n }

    mutating func run(seconds: Double) {
        let end = time + seconds
        while time < end - Self.step / 2 { turn() }
    }

    private mutating func turn() {
        let arrived = offered(time) * Self.step
        let room = Double(Self.limits.capacity) - occupied
        let taken = min(arrived, room)
        dropped += arrived - taken
        live.append((time, taken / Double(n)))
        liveBytes += taken / Double(n)
        leaving += taken - taken / Double(n)
        admitted += taken / Double(n)
        greatestOccupied = max(greatestOccupied, occupied)
        let sent = send()
        if sweeps { sweep() }
        let spilled = min(leaving, disk(time) * Self.step)
        leaving -= spilled
        onDisk += spilled
        time += Self.step
        governor.turn(
            Reading(
                seconds: Self.step, ingressBytes: UInt64(taken), drainedBytes: UInt64(sent.bytes),
                isStarved: sent.isStarved,
                occupiedBytes: UInt64(occupied), spilledBytes: UInt64(spilled), canSpill: disk(time) > 0))
        history.append(governor.n)
    }

    private mutating func send() -> (bytes: Double, isStarved: Bool) {
        var wanted = drain(time) * Self.step
        let most = wanted
        while wanted > 0, let newest = live.last {
            let bytes = min(wanted, newest.bytes)
            wanted -= bytes
            deliveredLive += bytes
            liveBytes -= bytes
            if bytes == newest.bytes { live.removeLast() } else { live[live.count - 1].bytes -= bytes }
        }
        if replays, wanted > 0 {
            let bytes = min(wanted, onDisk)
            onDisk -= bytes
            wanted -= bytes
        }
        return (most - wanted, wanted > 0)
    }

    private mutating func sweep() {
        var excess = occupied - leaving > Double(Self.limits.high) ? occupied - leaving - Double(Self.limits.low) : 0
        var gone = 0
        while gone < live.count, excess > 0 || time - live[gone].arrival > Self.memoryAge {
            leaving += live[gone].bytes
            liveBytes -= live[gone].bytes
            excess -= live[gone].bytes
            gone += 1
        }
        live.removeFirst(gone)
        // Sums of many small numbers would drift.
        if live.isEmpty { liveBytes = 0 }
    }
}

/// Changes of N within a history.
func changes(_ history: some Collection<UInt32>) -> Int {
    zip(history, history.dropFirst()).count { $0 != $1 }
}

/// The most changes within any minute of a history of turns.
func mostChangesPerMinute(_ history: [UInt32]) -> Int {
    let minute = Int(60 / SimulatedRelay.step)
    var most = 0
    for start in stride(from: 0, through: max(0, history.count - minute), by: 50) {
        most = max(most, changes(history[start..<min(history.count, start + minute)]))
    }
    return most
}

/// Bytes per second that destinations take in these tests.
let drainRate = 10e6
