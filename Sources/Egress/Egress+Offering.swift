internal import Machine
internal import Pcapng
internal import SpillCache
internal import Transfer

/// Which runs a session speaks of. A collector takes so many at once; who was away while the relay was started again and
/// again is owed batches of more, and has them in several sessions, the newest first. Control plane.
extension Egress {
    /// The runs of which something is owed here and is offered from now on, the present one always.
    ///
    /// They are half of what a collector takes, so that there is room for those of the session before, which it may be writing
    /// to its files still.
    func offerRuns(_ place: Int) -> [RunIdentity] {
        var runs = [setup.run]
        guard let cache, let claimant = care.connections.firstIndex(of: place),
            unsafe !connections[place].leavesEarlier
        else { return runs }
        var latest: [RunIdentity: UInt64] = [:]
        for place in 0..<UInt32(cache.catalogue.used) where cache.catalogue.owedPackets(claimant, in: place) > 0 {
            let file = cache.catalogue[file: place]
            if file.runPlace != 0 { latest[file.run] = max(latest[file.run] ?? 0, file.lastArrival) }
        }
        var room = TransferLimit.lanes / 2
        let lanes = care.marks.keys.reduce(into: [:]) { counts, lane in counts[lane.run, default: 0] += 1 }
        if unsafe Clock.monotonic() >= connections[place].offersAt {
            for (run, _) in latest.sorted(by: { $0.value > $1.value }) {
                room -= lanes[run] ?? 1
                guard runs.count < TransferLimit.runs / 2, room >= 0 || runs.count == 1 else { break }
                runs.append(run)
            }
        }
        cache.catalogue.offer(claimant, runs: Set(runs))
        return runs
    }

    /// A connection begins: whoever does not greet is offered everything.
    func offerAll(_ place: Int) {
        guard let cache, let claimant = care.connections.firstIndex(of: place),
            unsafe !connections[place].leavesEarlier
        else { return }
        cache.catalogue.offer(claimant, runs: nil)
    }

    /// The collector has no room for the runs it was told of: it makes some in time, and until then gets the present one.
    mutating func offerLater(_ place: Int, now: UInt64) {
        unsafe connections[place].offersAt = now &+ 60_000_000_000
        setup.log("\(name(place)): earlier runs are offered again in a minute")
    }

    /// Whether a session has brought all it was to bring, and another one can bring more.
    func wantsNextOffer(_ place: Int, now: UInt64) -> Bool {
        let destination = unsafe connections + place
        guard let cache, let claimant = care.connections.firstIndex(of: place),
            unsafe destination.pointee.isAgreed && !destination.pointee.leavesEarlier
                && now >= destination.pointee.offersAt,
            !stream.inputEnded || !endsInTime
        else { return false }
        return unsafe !destination.pointee.isReplaying && destination.pointee.inFlight.diskPackets == 0
            && cache.catalogue.hasOnlyWithheld(claimant)
    }
}
