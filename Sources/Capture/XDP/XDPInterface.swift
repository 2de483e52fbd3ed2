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
    /// Whether the card goes on taking VLAN tags out of frames, because it cannot be told not to: they are lost.
    public let losesTags: Bool
    /// What is captured; nil for everything.
    public let filter: SelectiveFilter?
    /// Whether the card is asked when a packet came; where it does not say, the kernel's clock does.
    public let asksCard: Bool
    /// Whether redirects that failed can be counted.
    public let seesErrors: Bool
    let index: UInt32
    /// The name as the kernel's calls take it, so that capture threads can ask without making one.
    private let nameBytes: UnsafeMutablePointer<CChar>
    private let program: Mutex<XDPProgram>
    private let queues: XDPQueues
    private let claim: OwnedDescriptor
    private let promiscuous: OwnedDescriptor
    private let processors: Int
    /// Whether the sockets are polled busily.
    public let busyPolls: Bool
    /// What busy polling could not set on the interface, and why.
    public let interruptProblems: [String]
    private let stamps: CardStamps
    private let deferred: Mutex<DeferredInterrupts?>
    /// Whether the card took tags out before, and is to do so again.
    private let stripsAfterwards: Mutex<Bool>

    init(
        _ name: String, index: UInt32, rung: XDPRung, filter: SelectiveFilter?, program: consuming XDPProgram,
        queues: consuming XDPQueues, claim: consuming OwnedDescriptor, promiscuous: consuming OwnedDescriptor,
        stamps: consuming CardStamps, deferred: consuming DeferredInterrupts?
    ) {
        (self.name, self.index, self.rung, self.filter) = (name, index, rung, filter)
        (asksCard, seesErrors) = (program.asksCard, program.seesErrors)
        self.stamps = stamps
        switch deferred {
        case .some(let deferred): (busyPolls, interruptProblems) = (true, deferred.problems)
        case .none: (busyPolls, interruptProblems) = (false, [])
        }
        self.deferred = Mutex(deferred)
        unsafe nameBytes = strdup(name)
        queueNumbers = queues.numbers
        (takesFragments, frameRoom) = queues.takesFragments(and: program.takesFragments)
        self.program = Mutex(program)
        self.queues = queues
        self.claim = claim
        self.promiscuous = promiscuous
        let strips = unsafe spillway_xdp_strips_tags(self.claim.number, name) == 1
        let isLeft = unsafe strips && spillway_xdp_strip_tags(self.claim.number, name, false) != 0
        losesTags = isLeft
        stripsAfterwards = Mutex(strips && !isLeft)
        processors = Int(spillway_xdp_processors())
    }

    deinit {
        // Before the sockets close: a packet must not meet one that is half gone.
        stopArrivals()
        unsafe free(nameBytes)
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
            if strips { _ = unsafe spillway_xdp_strip_tags(claim.number, name, true) }
            strips = false
        }
        deferred.withLock { $0 = nil }
    }

    /// Tells the program the station address the interface has now. For the control plane, now and then.
    public func refreshStation() {
        var station = spillway_station()
        guard unsafe spillway_xdp_station(claim.number, name, &station) >= 0 else { return }
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
        let flags = unsafe spillway_interface_flags(claim.number, nameBytes)
        guard flags >= 0, unsafe if_nametoindex(nameBytes) == index else { return .removed }
        return flags & Int32(IFF_UP) != 0 ? .up : .down
    }

    /// What the interface's description block says.
    public func label(filter: String? = nil) -> InterfaceLabel {
        PcapInterface.label(name, .ethernet, filter: filter, socket: claim.number)
    }
}
