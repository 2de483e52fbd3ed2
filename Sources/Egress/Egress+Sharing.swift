internal import Machine
internal import Pcapng
internal import SegmentPool

/// Destinations that share the batches: who gets which, who is up, and what becomes of the share of one that is not.
extension Egress {
    /// Gives every destination that we connect to its lane.
    mutating func assignLanes() {
        for (share, place) in sharingPlaces.enumerated() {
            unsafe connections[place].lane = UInt16(share + 1)
            unsafe index.setOwner(connections[place].slot, lane: UInt16(share + 1))
        }
    }

    /// Connections that have a share, in the order of their lanes.
    private var sharingPlaces: [Int] {
        setup.shares.count == 0 ? [] : (0..<connectionCount).filter { unsafe !connections[$0].isGuest }
    }

    /// Tells the workers who is up, and moves what is owed to those who have been down for long.
    mutating func tendShares(now: UInt64) {
        guard setup.shares.count > 0 else { return }
        let places = sharingPlaces
        var up: UInt64 = 0
        var present: [Int] = []
        for (share, place) in places.enumerated() where isUp(place) {
            up |= 1 << UInt64(share)
            present.append(place)
            unsafe connections[place].downSince = 0
        }
        setup.shares.publish(up: up)
        guard up != 0, setup.limits.reassignAfter > 0 else { return }
        for place in places where !isUp(place) {
            if unsafe connections[place].downSince == 0 { unsafe connections[place].downSince = now }
            if unsafe now &- connections[place].downSince >= setup.limits.reassignAfter {
                reassign(place, to: present)
            }
        }
    }

    private func isUp(_ place: Int) -> Bool {
        if case .up = unsafe connections[place].state { unsafe connections[place].carries } else { false }
    }

    /// Hands a destination's own unsent batches over to others by turns. What it took over itself stays with it: a batch
    /// must never come back to a destination that it has left.
    private mutating func reassign(_ place: Int, to others: [Int]) {
        let source = unsafe connections + place
        let slot = unsafe source.pointee.slot
        var turn = 0
        for worker in 0..<workers {
            var next = index.firstUnsent(slot, worker: worker)
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
    var laneBlocks: [UInt8] { laneList.flatMap(\.self) }

    /// The same, block by block.
    var laneList: [[UInt8]] {
        guard shares.count > 0 else { return [StreamBlocks.lane(0, kind: .live, run: run, destination: "")] }
        let names = plans.filter { if case .connect = $0.outlet { true } else { false } }.map(\.name)
        return names.enumerated().map { share, name in
            StreamBlocks.lane(UInt16(share + 1), kind: .live, run: run, destination: name)
        }
    }
}
