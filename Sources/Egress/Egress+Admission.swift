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
    var governor: Governor
    var lastTurn: UInt64 = 0
    /// Since the last turn: bytes that came in and that went to disk, whether somebody had nothing to send.
    var ingress: UInt64 = 0, spilled: UInt64 = 0
    var wasStarved = false
    /// What each connection had written at the last turn.
    var written: [UInt64]

    /// Nanoseconds between turns.
    static let period: UInt64 = 15_000_000

    init?(_ setup: EgressSetup, _ marks: Watermarks, connections: Int) {
        guard let admission = setup.admission else { return nil }
        self.setup = admission
        governor = Governor(limits: marks.limits)
        written = Array(repeating: 0, count: connections)
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
        reading.drainedBytes = drained(&control)
        reading.isStarved = control.wasStarved
        control.wasStarved = false
        reading.occupiedBytes = UInt64(index.occupiedSegments) * UInt64(index.pool.segmentBytes)
        reading.canSpill = canSpill
        let before = control.governor.n
        control.governor.turn(reading)
        let n = control.setup.fixed.map { reading.canSpill ? $0 : 1 } ?? control.governor.n
        control.setup.gate.publish(n)
        index.divertsLast = n > 1
        publish(control, n, occupied: reading.occupiedBytes)
        if control.setup.fixed == nil, control.governor.n != before { tell(control.governor, before) }
    }

    private func publish(_ control: AdmissionControl, _ n: UInt32, occupied: UInt64) {
        let governor = control.governor
        var figures = AdmissionFigures()
        (figures.n, figures.changes, figures.state) = (n, governor.changes, governor.state)
        figures.greatest = max(n, control.setup.fixed == nil ? governor.greatest : 1)
        (figures.ingress, figures.slowIngress) = (governor.ingressRate, governor.slowIngressRate)
        (figures.acceleration, figures.drain) = (governor.acceleration, governor.drainRate)
        (figures.spill, figures.occupied) = (governor.spilledRate, occupied)
        control.setup.board.publish(figures)
    }

    private func tell(_ governor: Governor, _ before: UInt32) {
        func rate(_ value: Double) -> String {
            let tenths = UInt64((max(value, 0) / 1e5).rounded())
            return "\(tenths / 10).\(tenths % 10) MB/s"
        }
        setup.log(
            "admission: one packet in \(governor.n) (was \(before)), \(governor.state); \(rate(governor.ingressRate)) come in,"
                + " \(rate(governor.drainRate)) go out")
    }

    /// Whether there is a cache that takes what is written.
    private var canSpill: Bool {
        guard let line = unsafe spill else { return false }
        return unsafe line.pointee.failure == 0 && hasRoomOnDisk
    }

    /// Whether a connection that is up has nothing to send. Where destinations share, one of them is enough: what it would take
    /// is not known then.
    private var hasStarving: Bool {
        let places = measuredPlaces
        if setup.shares.count > 0 { return places.contains { unsafe connections[$0].isStarved(index) } }
        return !places.isEmpty && places.allSatisfy { unsafe connections[$0].isStarved(index) }
    }

    private var measuredPlaces: [Int] {
        (0..<connectionCount).filter { place in
            unsafe !connections[place].isGuest && isUp(place) && index.isJoined(connections[place].slot)
        }
    }

    /// Bytes since the last turn: of the fastest where each gets everything, of all where they share.
    private func drained(_ control: inout AdmissionControl) -> UInt64 {
        var (greatest, sum) = (UInt64(0), UInt64(0))
        for place in measuredPlaces {
            let now = unsafe connections[place].written
            let bytes = now >= control.written[place] ? now - control.written[place] : now
            control.written[place] = now
            (greatest, sum) = (max(greatest, bytes), sum + bytes)
        }
        return setup.shares.count > 0 ? sum : greatest
    }
}

extension Destination {
    /// It could take more than there is.
    func isStarved(_ index: borrowing BatchIndex) -> Bool { pieces.isEmpty && !isReplaying && index.isDrained(slot) }
}
