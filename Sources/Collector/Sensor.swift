internal import Machine
internal import Pcapng
internal import SpillCache
internal import Transfer

/// A sensor as the main thread knows it.
final class Sensor {
    /// The sensor's name.
    let name: String
    /// What must not be forgotten.
    let state: SensorState
    /// All batches that need not come any more: in finished files, in the journal, or never to come.
    var known = BatchSet()
    /// What is known of each run's interfaces and lanes.
    var descriptions: [RunIdentity: RunDescription] = [:]
    /// Who presented each run.
    private(set) var claims: [RunIdentity: SensorState.RunClaim]
    /// Runs whose claim is not yet in the state file.
    private var unsaved: Set<RunIdentity> = []
    /// Figures.
    var tally = SensorTally()
    /// How fresh what comes is, from its arrival at the sensor to its acknowledgement here.
    var ages = Ages()
    /// Connections it has now.
    var connections = 0

    init(_ state: SensorState) {
        self.state = state
        name = state.name
        let present = state.present
        known = present.settled
        claims = present.runs
    }

    /// Whether there is nothing that would be missed.
    var isForgettable: Bool { connections == 0 && claims.isEmpty && known.isEmpty }

    /// Notes that a run was presented by somebody who calls this collector `destination`. False if the run belongs to
    /// another name.
    func claim(_ run: RunIdentity, destination: String) -> Bool {
        if let claim = claims[run], claim.destination != destination, !claim.destination.isEmpty { return false }
        let claim = SensorState.RunClaim(destination: destination, presented: Clock.realtime())
        if claims[run]?.destination != destination { unsaved.insert(run) }
        claims[run] = claim
        state.claim(run, claim)
        return true
    }

    /// Makes the claims durable, before the first batch of a run is written down.
    func saveClaims(of run: RunIdentity, in directory: DirectoryHandle) throws(SystemError) {
        if !unsaved.contains(run) { return }
        try state.save(in: directory)
        unsaved = []
    }

    /// Adds ranges that never come; returns how many batches they are.
    func exclude(_ ranges: [BatchRange]) -> UInt64 {
        state.settle(ranges)
        return ranges.reduce(0) { $0 &+ known.insert($1) }
    }

    /// Forgets runs that nobody has presented since then, unless they are in `kept`; which ones.
    func forgetRuns(before time: UInt64, keeping kept: Set<RunIdentity>) -> [RunIdentity] {
        let old = claims.filter { $0.value.presented < time && !kept.contains($0.key) }.map(\.key)
        forget(old)
        return old
    }

    /// Forgets so many runs, those that were presented longest ago, unless they are in `kept`; which ones.
    func forgetLeastRecent(_ count: Int, keeping kept: Set<RunIdentity>) -> [RunIdentity] {
        let candidates = claims.filter { !kept.contains($0.key) }.sorted { $0.value.presented < $1.value.presented }
        let old = candidates.prefix(count).map(\.key)
        forget(old)
        return old
    }

    private func forget(_ old: [RunIdentity]) {
        for run in old {
            claims[run] = nil
            descriptions[run] = nil
            known.remove(run: run)
            unsaved.remove(run)
        }
        state.forget(old)
    }
}

/// The figures of a sensor, as they stand in the report.
struct SensorTally: Sendable {
    var packets: UInt64 = 0, bytes: UInt64 = 0, batches: UInt64 = 0, duplicates: UInt64 = 0, corrupt: UInt64 = 0
    var files: UInt64 = 0, connections: UInt64 = 0
}
