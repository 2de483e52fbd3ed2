internal import CXDP
import Glibc
public import Machine

/// The upper part of the ladder: which program the driver takes, and how packets get from it to us.
extension XDPInterface {
    /// Opens an interface on the best rung there is, or on the one that is asked for.
    ///
    /// - Parameters:
    ///   - queues: receive queues to capture from; nil for all.
    ///   - rung: nil for the best.
    ///   - filter: what is captured; nil for everything.
    ///   - busyPolls: whether the sockets are polled busily.
    ///   - asksCard: whether packets are to be stamped by the card; nil where it can.
    ///   - sizes: given the number of queues, what each of them gets.
    /// - Throws: why not; for one rung the reason of that rung, otherwise the last one's.
    public static func open(
        _ name: String, queues wanted: [UInt32]? = nil, rung: XDPRung? = nil, filter: SelectiveFilter? = nil,
        pages: PageKind = .auto, node: Int? = nil, busyPolls: Bool = false, asksCard: Bool? = nil,
        sizes: (Int) -> XDPSizes
    ) throws(XDPError) -> XDPInterface {
        guard case let (own, index)? = PcapInterface.identity(name), index != 0 else { throw .noSuchInterface(name) }
        let claim = try claim(own, index)
        let facts = try InterfaceFacts(own, index: Int32(index), socket: claim.number)
        let numbers = try choose(wanted, of: facts.queues, own)
        try refuseForeign(own, index)
        spillway_xdp_lift_memory_limit()
        let sizes = sizes(numbers.count)
        let stamps = CardStamps(interface: Int32(index), isWanted: asksCard != false && rung != .generic)
        let program = try attach(
            own, index, facts, rung, filter, fragments: sizes.takesFragments, asksCard: asksCard ?? stamps.areMade)
        let opened = try open(
            queues: numbers, own, index, facts, rung, program: program, sizes: sizes, pages: pages,
            node: node ?? facts.node, busyPolls: busyPolls)
        let promiscuous = OwnedDescriptor(spillway_xdp_promiscuous(Int32(index)))
        if promiscuous.number < 0 {
            throw .notPermitted(own, doing: "taking frames for other stations", needs: "CAP_NET_RAW")
        }
        let granted: XDPRung =
            opened.isZeroCopy ? .zeroCopy : program.attachedInDriver == true ? .native : .generic
        return XDPInterface(
            own, index: index, rung: granted, filter: filter, program: program, queues: opened, claim: claim,
            promiscuous: promiscuous, stamps: stamps, busyPolls: busyPolls)
    }

    private static func claim(_ name: String, _ index: UInt32) throws(XDPError) -> OwnedDescriptor {
        let claim = spillway_xdp_claim(Int32(index))
        if claim == -EADDRINUSE { throw .isClaimed(name) }
        return OwnedDescriptor(claim)
    }

    private static func choose(
        _ wanted: [UInt32]?, of count: UInt32, _ name: String
    ) throws(XDPError) -> [UInt32] {
        guard let wanted else { return Array(0..<count) }
        if let missing = wanted.first(where: { $0 >= count }) {
            throw .noSuchQueue(name, queue: missing, count: count)
        }
        return wanted.sorted()
    }

    /// Names somebody else's program, which is never replaced. One of ours vanishes with its process.
    private static func refuseForeign(_ name: String, _ index: UInt32) throws(XDPError) {
        var present = spillway_xdp_present()
        // Who may not look will not be allowed to attach either, and learns it there.
        guard unsafe spillway_xdp_query(Int32(index), &present) == 0, present.identifier != 0 else { return }
        let program = unsafe withUnsafeBytes(of: present.name) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        throw .foreignProgram(name, program: program, identifier: present.identifier)
    }

    /// One way to attach the program.
    private struct Attempt {
        var inDriver: Bool
        var fragments: Bool
        var asksCard: Bool
    }

    private static func attach(
        _ name: String, _ index: UInt32, _ facts: InterfaceFacts, _ rung: XDPRung?, _ filter: SelectiveFilter?,
        fragments: Bool, asksCard: Bool
    ) throws(XDPError) -> XDPProgram {
        var attempts: [Attempt] = []
        for inDriver in rung.map({ [$0.isInDriver] }) ?? [true, false] {
            for fragments in fragments ? [true, false] : [false] {
                // A program that asks the card is bound to it, and runs in its driver only.
                for asksCard in asksCard && inDriver ? [true, false] : [false] {
                    attempts.append(Attempt(inDriver: inDriver, fragments: fragments, asksCard: asksCard))
                }
            }
        }
        var problem = XDPError.noSuchInterface(name)
        for attempt in attempts {
            do throws(SystemError) {
                var program = try XDPProgram(
                    interface: index, queues: facts.mostQueues, fragments: attempt.fragments, filter: filter,
                    asksCard: attempt.asksCard)
                try program.setStation(facts.station)
                try program.attach(inDriver: attempt.inDriver)
                return program
            } catch {
                problem = explain(error, name, rung ?? (attempt.inDriver ? .native : .generic), facts)
            }
        }
        throw problem
    }

    private static func open(
        queues numbers: [UInt32], _ name: String, _ index: UInt32, _ facts: InterfaceFacts, _ rung: XDPRung?,
        program: borrowing XDPProgram, sizes: XDPSizes, pages: PageKind, node: Int?, busyPolls: Bool
    ) throws(XDPError) -> XDPQueues {
        let inDriver = program.attachedInDriver == true
        let zeroCopies: [Bool] = !inDriver ? [false] : rung.map { [$0 == .zeroCopy] } ?? [true, false]
        let whole = program.takesFragments ? zeroCopies.map { (zeroCopy: $0, fragments: true) } : []
        let single = zeroCopies.map { (zeroCopy: $0, fragments: false) }
        // Where frames may be larger than a buffer, to have them whole is worth more than to have the others without a copy.
        let pairs = zip(whole, single).flatMap { [$0, $1] }
        let attempts = facts.fitsOneFrame && !whole.isEmpty ? pairs : whole + single
        var queues = XDPQueues(capacity: numbers.count)
        for number in numbers {
            do throws(SystemError) {
                let queue = try XDPQueue(
                    interface: index, queue: number, frameBytes: sizes.frameBytes ?? facts.frameBytes, sizes: sizes,
                    pages: pages, node: node, attempts: attempts)
                if busyPolls { try queue.preferBusyPoll() }
                queues.append(queue)
            } catch {
                throw explain(error, name, rung ?? (inDriver ? .native : .generic), facts)
            }
        }
        return queues
    }

    /// What a refusal means and what would help.
    private static func explain(
        _ error: SystemError, _ name: String, _ rung: XDPRung, _ facts: InterfaceFacts
    ) -> XDPError {
        let isSocket = error.call == "socket"
        switch error.code {
        case EPERM where error.call == "setsockopt" && error.subject.hasPrefix("SO_"):
            return .notPermitted(name, doing: "busy polling", needs: "CAP_NET_ADMIN")
        case ENOPROTOOPT where error.subject.hasPrefix("SO_"):
            return .refused(
                name, rung: rung, reason: "\(error)", advice: "Linux has busy polling since 5.11; leave out --busy-poll"
            )
        case EPERM, EACCES:
            return .notPermitted(
                name, doing: isSocket ? "an AF_XDP socket" : "\(error.subject)",
                needs: isSocket ? "CAP_NET_RAW" : "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
        case ENOBUFS where error.subject == "XDP_UMEM_REG":
            return .notPermitted(name, doing: "locking packet memory", needs: "CAP_IPC_LOCK (or LimitMEMLOCK=infinity)")
        default:
            return .refused(name, rung: rung, reason: "\(error)", advice: advice(error, rung, facts))
        }
    }

    private static func advice(_ error: SystemError, _ rung: XDPRung, _ facts: InterfaceFacts) -> String {
        let isBind = error.call == "bind"
        switch (error.code, rung) {
        case (EMFILE, _), (ENFILE, _): return "raise the limit of open files (ulimit -n, LimitNOFILE)"
        case (EBUSY, _) where isBind: return "another AF_XDP socket is bound to that queue; end its program"
        case (EBUSY, _), (EEXIST, _): return "an XDP program is attached already; see ip link"
        case (ERANGE, _) where facts.mtu > 1500, (EINVAL, _) where facts.mtu > 1500:
            return "the driver takes no packets in several buffers at this MTU of \(facts.mtu); lower it,"
                + " or use --capture xdp-generic"
        case (_, .zeroCopy): return "the driver or its queue has no zero-copy; use --capture xdp-native, or auto"
        case (_, .native): return "the driver has no XDP; use --capture xdp-generic, or auto"
        case (_, .generic): return "use --capture af-packet"
        }
    }
}
