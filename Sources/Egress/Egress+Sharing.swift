internal import Machine
internal import Pcapng
internal import SegmentPool

/// Destinations that share the batches: who gets which, who is up, and what becomes of the share of one that is not.
extension Egress {
    /// Gives every destination that we connect to a place on the board, and its lanes.
    mutating func assignLanes() {
        sharePlaces = Array(repeating: nil, count: setup.shares.count)
        guard setup.shares.count > 0 else { return }
        for place in 0..<connectionCount where isDestination(place) {
            giveLanes(place, isNew: false)
        }
    }

    /// Gives a connection a free place on the board, and lanes that nobody had before.
    ///
    /// - Parameter isNew: whether streams that have begun must be told of them.
    mutating func giveLanes(_ place: Int, isNew: Bool = true) {
        guard let share = sharePlaces.firstIndex(of: nil) else { return }
        let (lane, slot) = unsafe (nextLane, connections[place].slot)
        nextLane += 1
        sharePlaces[share] = place
        for lane in [lane, lane + ShareBoard.divertedLane] {
            index.setOwner(slot, lane: lane)
            laneCounts.setOwner(place, of: lane)
        }
        unsafe connections[place].lane = lane
        setup.shares.setLane(lane, of: share)
        if isNew {
            let blocks = EgressSetup.blocks(lane, name(place), setup.run, isDiverting: setup.admission != nil)
            stream.lanes.append(blocks.flatMap(\.self))
            if let line = unsafe spill { for block in blocks { unsafe line.pointee.describe(lane: block) } }
            sharing = Sharing()
        }
    }

    /// A destination goes: what it is owed, and what its lanes still bring, is that of others.
    mutating func bequeath(_ place: Int) {
        guard let share = sharePlaces.firstIndex(of: place) else { return }
        sharePlaces[share] = nil
        sharing.up &= ~(1 << UInt64(share))
        let rest = sharePlaces.indices.compactMap { sharePlaces[(share + $0) % sharePlaces.count] }
        guard let first = rest.first else { return }
        let present = heirs(of: share)
        let heirs = present.isEmpty ? [first] : present
        reassign(place, to: heirs, withTakenOver: true)
        reassignOnDisk(place, to: heirs, withTakenOver: true)
        index.bequeath(from: unsafe connections[place].slot, to: unsafe connections[heirs[0]].slot)
        laneCounts.bequeath(from: place, to: heirs[0])
        sharing = Sharing()
    }

    /// Tells the workers who is up, and moves what is owed to those who have been down for long.
    mutating func tendShares(now: UInt64) {
        guard setup.shares.count > 0 else { return }
        var state = Sharing(isTold: true)
        for (share, place) in sharePlaces.enumerated() {
            guard let place else { continue }
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
            publishShares()
        }
        guard state.up != 0, state.lost != 0 else { return }
        for (share, place) in sharePlaces.enumerated() where state.lost >> UInt64(share) & 1 == 1 {
            // Who is about to be told what still comes keeps it.
            guard let place, talks[place].inventoryBehind == nil else { continue }
            reassign(place, to: heirs(of: share))
            reassignOnDisk(place, to: heirs(of: share), withTakenOver: false)
        }
    }

    /// Who is up, and who has been down for so long that others take over; one bit per place of the board.
    struct Sharing: Equatable {
        var up: UInt64 = 0
        var lost: UInt64 = 0
        /// Whether the workers have been told.
        var isTold = false
    }

    /// By turns those that are up get new batches, all of them when none is. By flow each has its conversations whether it
    /// is up or not; only those of one that is lost go to its heir.
    private func publishShares() {
        let all = sharePlaces.enumerated().compactMap { share, place in
            place.map { (share, setup.plans[unsafe connections[$0].plan].share) }
        }
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
    private func heirs(of share: Int) -> [Int] {
        if setup.shares.rule == .byFlow { return heir(of: share).flatMap { sharePlaces[$0] }.map { [$0] } ?? [] }
        return sharePlaces.indices.filter { sharing.up >> UInt64($0) & 1 == 1 }.compactMap { sharePlaces[$0] }
    }

    func isUp(_ place: Int) -> Bool {
        if case .up = unsafe connections[place].state { unsafe connections[place].carries } else { false }
    }

    /// Hands a destination's own unsent batches over to others by turns. What it took over itself stays with it while it is
    /// there: a batch must never come back to a destination that it has left.
    private mutating func reassign(_ place: Int, to others: [Int], withTakenOver: Bool = false) {
        guard !others.isEmpty else { return }
        let source = unsafe connections + place
        let slot = unsafe source.pointee.slot
        var turn = 0
        for writer in 0..<writers {
            var next = index.firstUnsent(slot, worker: writer)
            while let reference = next {
                next = index.nextUnsent(slot, after: reference)
                let lane = index.pool.lane(reference)
                let target = unsafe connections + others[turn % others.count]
                guard
                    index.isOwner(slot, lane: lane)
                        || withTakenOver && !index.isOwner(unsafe target.pointee.slot, lane: lane)
                else { continue }
                turn += 1
                let packets = UInt64(index.pool.packets(reference))
                index.handOver(reference, from: slot, to: unsafe target.pointee.slot)
                unsafe source.pointee.unsentPackets -= packets
                unsafe target.pointee.unsentPackets += packets
                unsafe source.pointee.counters.add(.handedOver, packets)
                unsafe target.pointee.counters.add(.takenOver, packets)
            }
        }
        guard turn > 0 else { return }
        setup.log("\(name(place)): gone for long, or for good; \(turn) batches go to others")
        notePassing()
    }
}

/// Packets that came in by lane in one turn, and whose lanes they are, in fixed memory.
@safe struct LaneCounts: BitwiseCopyable {
    // Safe because one thread owns it and its memory lives as long as the process.
    private let counts: UnsafeMutablePointer<UInt64>
    private let owners: UnsafeMutablePointer<Int>

    init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: 16 * BatchIndex.maximumLanes, pages: .off)
        unsafe counts = region.base.bindMemory(to: UInt64.self, capacity: BatchIndex.maximumLanes)
        unsafe owners = (region.base + 8 * BatchIndex.maximumLanes)
            .bindMemory(to: Int.self, capacity: BatchIndex.maximumLanes)
        unsafe owners.initialize(repeating: -1, count: BatchIndex.maximumLanes)
    }

    /// The connection whose lane this is.
    func setOwner(_ place: Int, of lane: UInt16) { unsafe owners[Int(lane & 255)] = place }

    /// The lanes of one are another's.
    func bequeath(from place: Int, to heir: Int) {
        for lane in 0..<BatchIndex.maximumLanes where unsafe owners[lane] == place { unsafe owners[lane] = heir }
    }

    /// Counts packets.
    @_noLocks func add(_ lane: UInt16, _ packets: UInt64) { unsafe counts[Int(lane & 255)] += packets }

    /// The next lane from `lane` on that has counted something: whose it is, and how much; the count begins anew.
    @_noLocks func take(from lane: inout Int) -> (place: Int, packets: UInt64)? {
        while lane < 256 {
            let packets = unsafe counts[lane]
            unsafe counts[lane] = 0
            lane += 1
            if packets > 0 { return (unsafe owners[lane - 1], packets) }
        }
        return nil
    }
}

extension EgressSetup {
    /// What the lanes of the run are for.
    var laneBlocks: [UInt8] { laneList.flatMap(\.self) }

    /// The same, block by block.
    var laneList: [[UInt8]] {
        var lanes: [(number: UInt16, destination: String)] = [(0, "")]
        if shares.count > 0 {
            let names = plans.filter { if case .connect = $0.outlet { true } else { false } }.map(\.name)
            lanes = names.enumerated().map { (UInt16($0.offset + 1), $0.element) }
        }
        return lanes.flatMap { lane in Self.blocks(lane.number, lane.destination, run, isDiverting: admission != nil) }
    }

    /// The block of a live lane, and that of its diverted lane where there is one.
    static func blocks(_ lane: UInt16, _ destination: String, _ run: RunIdentity, isDiverting: Bool) -> [[UInt8]] {
        let live = StreamBlocks.lane(lane, kind: .live, run: run, destination: destination)
        guard isDiverting else { return [live] }
        return [
            live,
            StreamBlocks.lane(
                lane + ShareBoard.divertedLane, kind: .diverted, run: run, destination: destination),
        ]
    }
}
