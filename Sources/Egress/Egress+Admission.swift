public import Admission
internal import Machine
internal import SegmentPool
internal import SpillCache

/// How admission is decided, and who is told.
public struct AdmissionSetup: Sendable {
    /// The workers' word.
    public var gate = AdmissionGate()
    /// Everybody else's.
    public var board = AdmissionBoard()
    /// One in so many whatever happens; nil lets the governor decide.
    public var fixed: UInt32?

    /// The governor decides, or `fixed`.
    public init(fixed: UInt32? = nil) { self.fixed = fixed }
}

/// The governor's turn, and what it is told about.
struct AdmissionControl {
    let setup: AdmissionSetup
    let marks: Watermarks
    var governor: Governor
    /// What holds, how often it has changed, and the greatest so far.
    private(set) var n: UInt32, changes: UInt64 = 0, greatest: UInt32
    var lastTurn: UInt64 = 0
    /// Since the last turn: bytes that came in and that went to disk, whether somebody had nothing to send.
    var ingress: UInt64 = 0, spilled: UInt64 = 0
    var wasStarved = false
    /// What each connection had written at the last turn.
    var written: [UInt64]
    var fastest: Fastest

    /// Nanoseconds between turns.
    static let period: UInt64 = 15_000_000

    init?(_ setup: EgressSetup, _ marks: Watermarks, connections: Int) {
        guard let admission = setup.admission else { return nil }
        (self.setup, self.marks) = (admission, marks)
        governor = Governor(limits: marks.limits)
        n = admission.fixed ?? 1
        greatest = n
        written = Array(repeating: 0, count: connections)
        fastest = Fastest(count: connections)
    }

    /// Why it is what it is, for the log.
    var state: String { setup.fixed == nil || governor.state == .unwritable ? "\(governor.state)" : "fixed" }

    /// Lets the governor make its turn; returns whether N has changed. Also a fixed one is 1 while the cache is not to be written.
    mutating func turn(_ reading: Reading) -> Bool {
        governor.turn(reading)
        let next = governor.state == .unwritable ? 1 : setup.fixed ?? governor.n
        guard next != n else { return false }
        (n, changes, greatest) = (next, changes + 1, max(greatest, next))
        return true
    }
}

/// How much of the traffic goes towards TCP. Control plane.
extension Egress {
    /// Looks whether somebody has nothing to send, and makes the governor's turn when it is due.
    mutating func tendAdmission(now: UInt64) {
        guard var control = admission else { return }
        if hasStarving { control.wasStarved = true }
        defer { admission = control }
        guard now &- control.lastTurn >= AdmissionControl.period else { return }
        let seconds = control.lastTurn == 0 ? 0.015 : Double(now &- control.lastTurn) / 1e9
        control.lastTurn = now
        var reading = Reading(seconds: seconds)
        (reading.ingressBytes, ingressBytes) = (ingressBytes, 0)
        (reading.spilledBytes, spilledBytes) = (spilledBytes, 0)
        reading.drainedBytes = drained(&control, seconds: seconds)
        reading.isStarved = control.wasStarved
        control.wasStarved = false
        reading.occupiedBytes = UInt64(index.occupiedSegments) * UInt64(index.pool.segmentBytes)
        reading.backlogBytes = backlog(occupied: reading.occupiedBytes, control.marks)
        reading.canSpill = canSpill
        let before = control.n
        let hasChanged = control.turn(reading)
        control.setup.gate.publish(control.n)
        index.divertsLast = control.n > 1
        publish(control, occupied: reading.occupiedBytes)
        if hasChanged { tell(control, before) }
    }

    private func publish(_ control: AdmissionControl, occupied: UInt64) {
        let governor = control.governor
        var figures = AdmissionFigures()
        (figures.n, figures.changes, figures.greatest) = (control.n, control.changes, control.greatest)
        figures.state = governor.state
        (figures.ingress, figures.slowIngress) = (governor.ingressRate, governor.slowIngressRate)
        (figures.acceleration, figures.drain) = (governor.acceleration, governor.drainRate)
        (figures.spill, figures.occupied) = (governor.spilledRate, occupied)
        control.setup.board.publish(figures)
    }

    private func tell(_ control: AdmissionControl, _ before: UInt32) {
        let governor = control.governor
        func rate(_ value: Double) -> String {
            let tenths = UInt64((max(value, 0) / 1e5).rounded())
            return "\(tenths / 10).\(tenths % 10) MB/s"
        }
        setup.log(
            "admission: one packet in \(control.n) (was \(before)), \(control.state); \(rate(governor.ingressRate)) come in,"
                + " \(rate(governor.drainRate)) go out")
    }

    /// Whether there is a cache that takes what is written and keeps it, and all who wait can be served from it.
    private var canSpill: Bool {
        guard let line = unsafe spill, (0..<connectionCount).contains(where: { hasDisk($0) }) else { return false }
        if (0..<connectionCount).contains(where: { waitsInMemory($0) }) { return false }
        return unsafe line.pointee.failure == 0 && hasRoomOnDisk && !care.isOverfull
    }

    /// Whether a destination is owed what is diverted, and can never get it from disk.
    private func waitsInMemory(_ place: Int) -> Bool {
        unsafe isDestination(place) && connections[place].disk == nil && index.isJoined(connections[place].slot)
    }

    /// Whether a connection that is up has nothing to send: what it would take is not known then. One is enough. Where they
    /// share, it is a part of the sum; where each gets everything, none that is behind is faster than one that has it all.
    private var hasStarving: Bool {
        (0..<connectionCount).contains { unsafe isMeasured($0) && connections[$0].isStarved(index) }
    }

    /// Whether a destination can wait on disk.
    private func hasDisk(_ place: Int) -> Bool { unsafe !connections[place].isSpare && connections[place].disk != nil }

    private func isMeasured(_ place: Int) -> Bool {
        unsafe hasDisk(place) && isUp(place) && index.isJoined(connections[place].slot)
    }

    /// What the one that is least behind has not been sent, where each gets everything.
    private func backlog(occupied: UInt64, _ marks: Watermarks) -> UInt64 {
        // Below the low mark it is no pressure, whoever is owed it.
        guard setup.shares.count == 0, occupied > marks.limits.low else { return occupied }
        var least = index.occupiedSegments
        for place in 0..<connectionCount where isMeasured(place) {
            least = min(least, unsafe index.owedSegments(connections[place].slot))
        }
        return UInt64(least) * UInt64(index.pool.segmentBytes)
    }

    /// Bytes since the last turn: of the fastest where each gets everything, of all where they share.
    private func drained(_ control: inout AdmissionControl, seconds: Double) -> UInt64 {
        var sum: UInt64 = 0
        for place in 0..<connectionCount where isMeasured(place) {
            let now = unsafe connections[place].written
            let bytes = now >= control.written[place] ? now - control.written[place] : now
            control.written[place] = now
            control.fastest.add(bytes: bytes, of: place, seconds: seconds)
            sum += bytes
        }
        let fastest = control.fastest.take()
        return setup.shares.count > 0 ? sum : fastest
    }
}

extension Destination {
    /// It could take more than there is.
    func isStarved(_ index: borrowing BatchIndex) -> Bool { pieces.isEmpty && !isReplaying && index.isDrained(slot) }
}
