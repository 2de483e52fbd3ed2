internal import CPcap
internal import CXDP
import Glibc
import Machine
public import Pcapng
import Synchronization

/// An interface captured from through AF_XDP: its program and one socket per receive queue. Control plane; each queue is
/// handed to its thread once.
///
/// Nothing arrives before `startArrivals`. At the end call `stopArrivals`, which detaches the program, then read every
/// queue until its `XDPCounts` and what was read add up.
@safe public final class XDPInterface: @unchecked Sendable {
    // Safe because the queues are handed out once each, the program is under a mutex, and the rest never changes.

    /// The interface's own name.
    public let name: String
    /// What was granted, as the kernel says it.
    public let rung: XDPRung
    /// The queues captured from, ascending.
    public let queueNumbers: [UInt32]
    /// Whether frames larger than a buffer arrive whole.
    public let takesFragments: Bool
    /// Bytes that one buffer holds.
    public let frameRoom: Int
    /// What is captured; nil for everything.
    public let filter: SelectiveFilter?
    /// Whether the card is asked when a packet came; where it does not say, the kernel's clock does.
    public let asksCard: Bool
    /// Whether redirects that failed can be counted.
    public let seesErrors: Bool
    let index: UInt32
    private let program: Mutex<XDPProgram>
    private let queues: XDPQueues
    private let claim: OwnedDescriptor
    private let promiscuous: OwnedDescriptor
    private let processors: Int
    /// Whether the sockets are polled busily.
    public let busyPolls: Bool
    private let stamps: CardStamps
    private let deferred = Mutex<DeferredInterrupts?>(nil)
    /// What is written down about these settings, from `prepare` on.
    private let changed = Mutex<ChangedSettings?>(nil)
    /// Whether the card took tags out before, and is to do so again.
    private let stripsAfterwards = Mutex(false)

    init(
        _ name: String, index: UInt32, rung: XDPRung, filter: SelectiveFilter?, program: consuming XDPProgram,
        queues: consuming XDPQueues, claim: consuming OwnedDescriptor, promiscuous: consuming OwnedDescriptor,
        stamps: consuming CardStamps, busyPolls: Bool
    ) {
        (self.name, self.index, self.rung, self.filter) = (name, index, rung, filter)
        (asksCard, seesErrors) = (program.asksCard, program.seesErrors)
        self.stamps = stamps
        self.busyPolls = busyPolls
        queueNumbers = queues.numbers
        (takesFragments, frameRoom) = queues.takesFragments(and: program.takesFragments)
        self.program = Mutex(program)
        self.queues = queues
        self.claim = claim
        self.promiscuous = promiscuous
        processors = Int(spillway_xdp_processors())
    }

    deinit {
        // Before the sockets close: a packet must not meet one that is half gone.
        stopArrivals()
    }

    /// Sets on the interface what is the interface's and not the process's: VLAN tags stay in frames, and with busy polling
    /// interrupts wait. Call it once, when nothing but `stopArrivals` can end the run any more, which sets it back.
    ///
    /// - Returns: whether the card goes on taking tags out, because it cannot be told not to, so that they are lost; what of
    ///   the interrupts could not be set, and why; and what a killed run had left changed, which is set back.
    public func prepare() -> (losesTags: Bool, interruptProblems: [String], leftChanged: [String]) {
        let record = ChangedSettings(index)
        let left = record.read()
        setBack(left)
        let strips = spillway_xdp_strips_tags(claim.number, Int32(index)) == 1
        let interrupts = busyPolls ? DeferredInterrupts.present(of: index) : []
        changed.withLock { $0 = record }
        record.write((strips ? [(Self.tagStripping, "on")] : []) + interrupts)
        let isLeft = strips && spillway_xdp_strip_tags(claim.number, Int32(index), false) != 0
        stripsAfterwards.withLock { $0 = strips && !isLeft }
        let problems = busyPolls ? deferInterrupts() : []
        return (isLeft, problems, left.map(\.setting))
    }

    /// ethtool's name of what the record calls so, too.
    private static let tagStripping = "rxvlan"

    private func setBack(_ settings: [(setting: String, value: String)]) {
        DeferredInterrupts.setBack(settings, of: index)
        guard settings.contains(where: { $0 == (Self.tagStripping, "on") }) else { return }
        _ = spillway_xdp_strip_tags(claim.number, Int32(index), true)
    }

    private func deferInterrupts() -> [String] {
        deferred.withLock { deferred in
            let made = DeferredInterrupts(index)
            let problems = made.problems
            deferred = consume made
            return problems
        }
    }

    /// A queue by its place in `queueNumbers`; the caller owns it from now on.
    public func take(_ place: Int) -> XDPQueue { queues.take(place) }

    /// The program's counters for a queue.
    public func counts(_ place: Int) -> XDPCounts {
        program.withLock {
            XDPCounts(map: $0.maps.counts, queue: queueNumbers[place], processors: processors)
        }
    }

    /// Counters of the queues that are not captured from.
    public func otherCounts() -> [XDPCounts] {
        program.withLock { program in
            (0..<program.queues).filter { !queueNumbers.contains($0) }.map {
                XDPCounts(map: program.maps.counts, queue: $0, processors: processors)
            }
        }
    }

    /// Lets packets of a queue in.
    public func startArrivals(_ queue: borrowing XDPQueue) throws(XDPError) {
        let (descriptor, number) = (queue.descriptor, queue.queue)
        let error: SystemError? = program.withLock { program in
            do throws(SystemError) { try program.setSocket(descriptor, queue: number) } catch { return error }
            return nil
        }
        if let error { throw .refused(name, rung: rung, reason: "\(error)", advice: "use --capture af-packet") }
    }

    /// Detaches the program: nothing arrives any more at any queue. What arrived before can still be read.
    public func stopArrivals() {
        program.withLock { $0.detach() }
        stripsAfterwards.withLock { strips in
            if strips { _ = spillway_xdp_strip_tags(claim.number, Int32(index), true) }
            strips = false
        }
        deferred.withLock { $0 = nil }
        changed.withLock { record in
            record?.remove()
            record = nil
        }
    }

    /// Tells the program the station address the interface has now. For the control plane, now and then.
    public func refreshStation() {
        var station = spillway_station()
        guard unsafe spillway_xdp_station(claim.number, Int32(index), &station) >= 0 else { return }
        program.withLock { program in
            do throws(SystemError) { try program.setStation(station) } catch {}
        }
    }

    /// Has the program know our own connections, from now on.
    public func feed(from own: OwnTraffic) {
        program.withLock { own.feed(connections: $0.maps.own, addresses: $0.maps.addresses) }
    }

    /// How the interface is now.
    public var condition: PcapInterface.Condition {
        let flags = spillway_xdp_flags(claim.number, Int32(index))
        if flags == -ENODEV { return .removed }
        return flags < 0 || flags & Int32(IFF_UP) != 0 ? .up : .down
    }

    /// Whether nothing will arrive any more. For capture threads: nothing is allocated.
    public var isOver: Bool {
        if case .removed = condition { return true }
        return program.withLock { $0.isCutOff }
    }

    /// Why nothing will arrive any more, if that is so.
    public var end: XDPError? {
        // An interface that goes takes the program with it, so it is asked for last.
        let isCutOff = program.withLock { $0.isCutOff }
        if case .removed = condition { return .removed(name) }
        return isCutOff ? .detached(name) : nil
    }

    /// What the interface's description block says.
    public func label(filter: String? = nil) -> InterfaceLabel {
        PcapInterface.label(name, .ethernet, filter: filter, socket: claim.number)
    }
}
