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
    ///   - sizes: given the number of queues, what each of them gets.
    /// - Throws: why not; for one rung the reason of that rung, otherwise the last one's.
    public static func open(
        _ name: String, queues wanted: [UInt32]? = nil, rung: XDPRung? = nil, pages: PageKind = .auto, node: Int? = nil,
        sizes: (Int) -> XDPSizes
    ) throws(XDPError) -> XDPInterface {
        guard case let (own, index)? = PcapInterface.identity(name), index != 0 else { throw .noSuchInterface(name) }
        let claim = try claim(own, index)
        let facts = try InterfaceFacts(own, socket: claim.number)
        let numbers = try choose(wanted, of: facts.queues, own)
        let leftover = try clear(own, index)
        spillway_xdp_lift_memory_limit()
        let sizes = sizes(numbers.count)
        let program = try attach(own, index, facts, rung, fragments: sizes.takesFragments)
        let opened = try open(
            queues: numbers, own, index, facts, rung, program: program, sizes: sizes, pages: pages,
            node: node ?? facts.node)
        let promiscuous = OwnedDescriptor(spillway_xdp_promiscuous(Int32(index)))
        if promiscuous.number < 0 {
            throw .notPermitted(own, doing: "taking frames for other stations", needs: "CAP_NET_RAW")
        }
        let granted: XDPRung =
            opened.isZeroCopy ? .zeroCopy : program.attachedInDriver == true ? .native : .generic
        return XDPInterface(
            own, index: index, rung: granted, leftover: leftover, program: program, queues: opened, claim: claim,
            promiscuous: promiscuous)
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

    /// Takes away what a killed process of ours left; refuses where somebody else's program is.
    private static func clear(_ name: String, _ index: UInt32) throws(XDPError) -> String? {
        var present = spillway_xdp_present()
        // Who may not look will not be allowed to attach either, and learns it there.
        guard unsafe spillway_xdp_query(Int32(index), &present) == 0, present.identifier != 0 else { return nil }
        let program = unsafe withUnsafeBytes(of: present.name) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        // The claim is ours, so whoever attached a program of our name is dead.
        guard program.hasPrefix(SPILLWAY_PROGRAM_PREFIX),
            spillway_xdp_detach_identified(Int32(index), present.identifier, present.in_driver) == 0
        else { throw .foreignProgram(name, program: program, identifier: present.identifier) }
        return "\(name): took away the XDP program \(program) (id \(present.identifier)) of a run that was killed"
    }

    private static func attach(
        _ name: String, _ index: UInt32, _ facts: InterfaceFacts, _ rung: XDPRung?, fragments: Bool
    ) throws(XDPError) -> XDPProgram {
        let places = rung.map { [$0.isInDriver] } ?? [true, false]
        var problem = XDPError.noSuchInterface(name)
        for inDriver in places {
            for fragments in fragments ? [true, false] : [false] {
                do throws(SystemError) {
                    var program = try XDPProgram(interface: index, queues: facts.queues, fragments: fragments)
                    try program.setStation(facts.station)
                    try program.attach(inDriver: inDriver)
                    return program
                } catch {
                    problem = explain(error, name, rung ?? (inDriver ? .native : .generic), facts)
                }
            }
        }
        throw problem
    }

    private static func open(
        queues numbers: [UInt32], _ name: String, _ index: UInt32, _ facts: InterfaceFacts, _ rung: XDPRung?,
        program: borrowing XDPProgram, sizes: XDPSizes, pages: PageKind, node: Int?
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
                queues.append(
                    try XDPQueue(
                        interface: index, queue: number, frameBytes: sizes.frameBytes ?? facts.frameBytes, sizes: sizes,
                        pages: pages,
                        node: node, attempts: attempts))
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
        case EPERM, EACCES:
            return .notPermitted(
                name, doing: isSocket ? "an AF_XDP socket" : "\(error.subject)",
                needs: isSocket ? "CAP_NET_RAW" : "CAP_BPF and CAP_NET_ADMIN")
        case ENOBUFS where error.subject == "XDP_UMEM_REG":
            return .notPermitted(name, doing: "locking packet memory", needs: "CAP_IPC_LOCK (or LimitMEMLOCK=infinity)")
        default:
            return .refused(name, rung: rung, reason: "\(error)", advice: advice(error, rung, facts))
        }
    }

    private static func advice(_ error: SystemError, _ rung: XDPRung, _ facts: InterfaceFacts) -> String {
        let isBind = error.call == "bind"
        switch (error.code, rung) {
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

/// What has to be known of an interface before it is captured from.
struct InterfaceFacts {
    let queues: UInt32
    let mtu: Int
    let station: spillway_station
    /// The NUMA node of the card, nil where there is none to tell.
    let node: Int?

    init(_ name: String, socket: Int32) throws(XDPError) {
        var request = spillway_station()
        let hardware = unsafe spillway_xdp_station(socket, name, &request)
        // ARPHRD_ETHER and ARPHRD_LOOPBACK (linux/if_arp.h): both begin with an Ethernet header.
        guard hardware == 1 || hardware == 772 else { throw .notEthernet(name) }
        let flags = unsafe spillway_xdp_flags(socket, name)
        if flags >= 0, flags & 1 /* IFF_UP */ == 0 { throw .isDown(name) }
        station = request
        queues = unsafe spillway_xdp_queues(socket, name)
        node = Self.node(name)
        mtu = max(Int(unsafe spillway_xdp_mtu(socket, name)), 0)
    }

    private static func node(_ name: String) -> Int? {
        let file = unsafe Glibc.open("/sys/class/net/\(name)/device/numa_node", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = unsafe read(file, &bytes, bytes.count)
        // -1 on a machine with one node.
        return Int(String(decoding: bytes.prefix(max(count, 0)).prefix { $0 > 32 }, as: UTF8.self))
            .flatMap { $0 >= 0 ? $0 : nil }
    }

    /// Whether the largest frame, with two VLAN tags, fits into one buffer.
    var fitsOneFrame: Bool { mtu + 14 + 8 <= frameBytes - XDPQueue.headroom }

    /// The smaller of the kernel's two chunk sizes, if the largest frame with two VLAN tags fits.
    var frameBytes: Int { mtu + 14 + 8 <= 2048 - XDPQueue.headroom ? 2048 : 4096 }
}
