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
    /// What was cleared away before, for the log; nil if there was nothing.
    public let leftover: String?
    let index: UInt32
    /// The name as the kernel's calls take it, so that capture threads can ask without making one.
    private let nameBytes: UnsafeMutablePointer<CChar>
    private let program: Mutex<XDPProgram>
    private let queues: XDPQueues
    private let claim: OwnedDescriptor
    private let promiscuous: OwnedDescriptor
    private let processors: Int
    /// Whether the card took tags out before, and is to do so again.
    private let stripsAfterwards: Mutex<Bool>

    init(
        _ name: String, index: UInt32, rung: XDPRung, leftover: String?, program: consuming XDPProgram,
        queues: consuming XDPQueues, claim: consuming OwnedDescriptor, promiscuous: consuming OwnedDescriptor
    ) {
        (self.name, self.index, self.rung, self.leftover) = (name, index, rung, leftover)
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

/// The program's counters for one queue. For any one thread.
@safe public struct XDPCounts: @unchecked Sendable {
    // Safe because the room is never freed and one thread uses it.
    private let map: Int32
    private let queue: UInt32
    private let processors: Int
    private let room: UnsafeMutablePointer<UInt64>

    init(map: Int32, queue: UInt32, processors: Int) {
        (self.map, self.queue, self.processors) = (map, queue, processors)
        unsafe room = .allocate(capacity: processors)
        unsafe room.initialize(repeating: 0, count: processors)
    }

    /// Packets given to the queue's socket, lost ones included.
    public var redirected: UInt64 { count(SPILLWAY_VERDICT_REDIRECTED) }
    /// Packets left to the kernel because they were for us: neighbours' questions and our own connections.
    public var passed: UInt64 { count(SPILLWAY_VERDICT_NEIGHBOUR) &+ count(SPILLWAY_VERDICT_OWN) }
    /// Packets left to the kernel because the queue has no socket.
    public var withoutSocket: UInt64 { count(SPILLWAY_VERDICT_NO_SOCKET) }

    private func count(_ verdict: spillway_verdict) -> UInt64 {
        unsafe spillway_xdp_count(map, queue, verdict.rawValue, room, Int32(processors))
    }
}

/// A file descriptor that is closed with its owner.
struct OwnedDescriptor: ~Copyable {
    let number: Int32

    deinit { if number >= 0 { close(number) } }

    init(_ number: Int32) { self.number = number }
}

/// The queues of an interface until their threads take them.
@safe struct XDPQueues: ~Copyable, @unchecked Sendable {
    // Safe because each place is taken once, by the thread that then owns the queue.
    private let places: UnsafeMutablePointer<XDPQueue?>
    private let capacity: Int
    private(set) var numbers: [UInt32] = []
    private(set) var isZeroCopy = true
    private var areFragmentsTaken = true
    private var frameRoom = Int.max

    init(capacity: Int) {
        self.capacity = capacity
        unsafe places = .allocate(capacity: capacity)
        for place in 0..<capacity { unsafe (places + place).initialize(to: nil) }
    }

    deinit {
        unsafe places.deinitialize(count: capacity)
        unsafe places.deallocate()
    }

    mutating func append(_ queue: consuming XDPQueue) {
        isZeroCopy = isZeroCopy && queue.isZeroCopy
        areFragmentsTaken = areFragmentsTaken && queue.takesFragments
        frameRoom = min(frameRoom, queue.frameRoom)
        let place = numbers.count
        numbers.append(queue.queue)
        unsafe places[place] = consume queue
    }

    borrowing func take(_ place: Int) -> XDPQueue { unsafe places[place].take()! }

    /// Whether packets in several buffers arrive, if the program takes them, and what one buffer holds.
    func takesFragments(and program: Bool) -> (Bool, Int) { (areFragmentsTaken && program, frameRoom) }
}
