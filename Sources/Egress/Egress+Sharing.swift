internal import Machine
internal import Pcapng
internal import SegmentPool

/// Destinations that share the batches: who gets which, who is up, and what becomes of the share of one that is not.
extension Egress {
    /// Gives every destination that we connect to its lanes.
    mutating func assignLanes() {
        for (share, place) in sharingPlaces.enumerated() {
            let lane = setup.shares.lane(of: share)
            unsafe connections[place].lane = lane
            unsafe index.setOwner(connections[place].slot, lane: lane)
            unsafe index.setOwner(connections[place].slot, lane: lane + ShareBoard.divertedLane)
        }
    }

    /// Connections that have a share, in the order of their places on the board.
    private var sharingPlaces: [Int] {
        setup.shares.count == 0 ? [] : (0..<connectionCount).filter { unsafe !connections[$0].isGuest }
    }

    /// Tells the workers who is up, and moves what is owed to those who have been down for long.
    mutating func tendShares(now: UInt64) {
        guard setup.shares.count > 0 else { return }
        let places = sharingPlaces
        var state = Sharing()
        for (share, place) in places.enumerated() {
            if isUp(place) {
                state.up |= 1 << UInt64(share)
                unsafe connections[place].downSince = 0
                continue
            }
            if unsafe connections[place].downSince == 0 { unsafe connections[place].downSince = now }
            let after = setup.limits.reassignAfter
            if after > 0, unsafe now &- connections[place].downSince >= after { state.lost |= 1 << UInt64(share) }
        }
        if state != sharing {
            sharing = state
            publishShares(places)
        }
        guard state.up != 0, state.lost != 0 else { return }
        for (share, place) in places.enumerated() where state.lost >> UInt64(share) & 1 == 1 {
            reassign(place, to: heirs(of: share, places))
        }
    }

    /// Who is up, and who has been down for so long that others take over; one bit per place of the board.
    struct Sharing: Equatable {
        var up: UInt64 = 0
        var lost: UInt64 = 0
    }

    /// By turns those that are up get new batches, all of them when none is. By flow each has its conversations whether it
    /// is up or not; only those of one that is lost go to its heir.
    private func publishShares(_ places: [Int]) {
        let all = places.enumerated().map { ($0, setup.plans[unsafe connections[$1].plan].share) }
        if setup.shares.rule == .byTurns {
            let present = all.filter { sharing.up >> UInt64($0.0) & 1 == 1 }
            return setup.shares.publish(present.isEmpty ? all : present)
        }
        var target: [Int: Int] = [:]
        for (share, _) in all where sharing.lost >> UInt64(share) & 1 == 1 {
            if let heir = heir(of: share) { target[share] = heir }
        }
        setup.shares.publish(all, target: target)
    }

    /// The next one on the board that is up: one alone, so that conversations stay whole.
    private func heir(of share: Int) -> Int? {
        let count = setup.shares.count
        return (1..<max(count, 1)).map { (share + $0) % count }.first { sharing.up >> UInt64($0) & 1 == 1 }
    }

    /// The connections that take over what is owed to one.
    private func heirs(of share: Int, _ places: [Int]) -> [Int] {
        if setup.shares.rule == .byFlow { return heir(of: share).map { [places[$0]] } ?? [] }
        return places.indices.filter { sharing.up >> UInt64($0) & 1 == 1 }.map { places[$0] }
    }

    private func isUp(_ place: Int) -> Bool {
        if case .up = unsafe connections[place].state { unsafe connections[place].carries } else { false }
    }

    /// Hands a destination's own unsent batches over to others by turns. What it took over itself stays with it: a batch
    /// must never come back to a destination that it has left.
    private mutating func reassign(_ place: Int, to others: [Int]) {
        guard !others.isEmpty else { return }
        let source = unsafe connections + place
        let slot = unsafe source.pointee.slot
        var turn = 0
        for writer in 0..<writers {
            var next = index.firstUnsent(slot, worker: writer)
            while let reference = next {
                next = index.nextUnsent(slot, after: reference)
                guard index.isOwner(slot, lane: index.pool.lane(reference)) else { continue }
                let target = unsafe connections + others[turn % others.count]
                turn += 1
                let packets = UInt64(index.pool.packets(reference))
                index.handOver(reference, from: slot, to: unsafe target.pointee.slot)
                unsafe source.pointee.unsentPackets -= packets
                unsafe target.pointee.unsentPackets += packets
                unsafe source.pointee.counters.add(.handedOver, packets)
                unsafe target.pointee.counters.add(.takenOver, packets)
            }
        }
        if turn > 0 { setup.log("\(name(place)): down for long, \(turn) batches go to others") }
    }
}

/// Packets by lane, in fixed memory.
@safe struct LaneCounts: BitwiseCopyable {
    // Safe because one thread owns it and its memory lives as long as the process.
    private let counts: UnsafeMutablePointer<UInt64>

    init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: 8 * BatchIndex.maximumLanes, pages: .off)
        unsafe counts = region.base.bindMemory(to: UInt64.self, capacity: BatchIndex.maximumLanes)
    }

    @_noLocks func add(_ lane: UInt16, _ packets: UInt64) { unsafe counts[Int(lane & 255)] += packets }
    @_noLocks func clear() {
        var lane = 0
        while lane < 256 {
            unsafe counts[lane] = 0
            lane += 1
        }
    }
    subscript(_ lane: UInt16) -> UInt64 { @_noLocks get { unsafe counts[Int(lane & 255)] } }
}

extension EgressSetup {
    /// What the lanes of the run are for.
    var laneBlocks: [UInt8] {
        guard shares.count > 0 else { return StreamBlocks.lane(0, kind: .live, run: run, destination: "") }
        let names = plans.filter { if case .connect = $0.outlet { true } else { false } }.map(\.name)
        return names.enumerated().flatMap { share, name in
            StreamBlocks.lane(UInt16(share + 1), kind: .live, run: run, destination: name)
        }
    }
}
