internal import Capture
internal import Machine

/// Which rung an interface is captured on: zero-copy, native copy, generic, AF_PACKET.
enum CaptureLadder {
    /// What was decided, and what is said about it.
    struct Choice {
        /// nil for AF_PACKET.
        var socket: XDPInterface?
        var lines: [String]
    }

    /// Decides for one interface, and opens its sockets where AF_XDP it is.
    ///
    /// - Parameter selection: what alone is taken from the stack, if not everything.
    static func choose(
        _ name: String, _ queues: [UInt32]?, _ selection: SelectiveFilter?, _ options: RelayOptions
    ) throws(RelayError) -> Choice {
        let rung = XDPRung(options.capture)
        if options.capture == .afPacket { return try packets(name, queues, "as asked for") }
        if name == "any" { return try packets(name, queues, "because AF_XDP captures from one interface") }
        if options.tap == .mirror {
            return try packets(name, queues, "because a mirror leaves everything to the stack")
        }
        if options.tap == nil, let use = use(of: name) {
            let reason = "it \(use), and AF_XDP would take everything from the stack"
            if rung != nil || queues != nil {
                throw RelayError(.usage, "-i \(name): \(reason); if you mean that, say --tap consume")
            }
            return try packets(name, queues, "because \(reason) (--tap consume does it)")
        }
        do throws(XDPError) {
            let socket = try XDPInterface.open(
                name, queues: queues, rung: rung, filter: selection, pages: options.hugepages, node: options.numaNode,
                busyPolls: options.busyPoll
            ) { MemoryBudget.sizes(queues: $0, options) }
            return Choice(socket: socket, lines: lines(socket))
        } catch {
            // A person who asked for a rung, for queues or for consuming is told why that cannot be.
            guard rung == nil, queues == nil, options.tap == nil, canStepDown(error) else { throw RelayError(error) }
            return try packets(name, queues, "because \(error)")
        }
    }

    /// What the host needs an interface for, if it is plain that it does.
    private static func use(of name: String) -> String? {
        if PcapInterface.isLoopback(name) { return "is the loopback interface, which programs of this host talk over" }
        return DefaultRoute.isCarried(by: name) ? "carries the default route" : nil
    }

    private static func canStepDown(_ error: XDPError) -> Bool {
        switch error {
        case .noSuchInterface, .isDown, .isClaimed, .removed, .detached, .noSuchQueue: false
        case .notEthernet, .notPermitted, .foreignProgram, .refused: true
        }
    }

    private static func packets(
        _ name: String, _ queues: [UInt32]?, _ reason: String
    ) throws(RelayError) -> Choice {
        if queues != nil {
            throw RelayError(
                .usage, "-i \(name)@...: queues can be chosen with AF_XDP only, and this is AF_PACKET \(reason)")
        }
        return Choice(socket: nil, lines: ["capture on \(name): af-packet, the stack sees everything too, \(reason)"])
    }

    private static func lines(_ socket: XDPInterface) -> [String] {
        let numbers = CPUSet(socket.queueNumbers.map(Int.init))
        let large =
            socket.takesFragments
            ? "packets of any size" : "packets of up to \(socket.frameRoom) bytes, larger ones are dropped{oversize}"
        let clock = socket.asksCard ? "the card's clock where it tells, else the kernel's" : "the kernel's clock"
        let rest =
            socket.filter.map { "the stack sees all that does not match \"\($0.expression)\"" }
            ?? "the stack sees only its own neighbours and our connections"
        return ["capture on \(socket.name): \(socket.rung.rawValue), queues \(numbers), \(large), \(clock); \(rest)"]
    }

    /// Sets what the interface keeps after the process; says what is not as good as it could be.
    static func prepare(_ socket: XDPInterface) -> [String] {
        let troubles = socket.prepare()
        var lines: [String] = []
        if !troubles.leftChanged.isEmpty {
            lines.append("set back what a killed run had left changed: " + troubles.leftChanged.joined(separator: ", "))
        }
        if troubles.losesTags {
            lines.append("the card takes VLAN tags out of frames and cannot be told not to; they are lost")
        }
        if !socket.seesErrors {
            lines.append(
                "redirects that fail cannot be seen (it takes a kernel with BTF): they count as dropped{unexplained}")
        }
        if !troubles.interruptProblems.isEmpty {
            lines.append(
                "busy polling works worse, because interrupts go on: "
                    + troubles.interruptProblems.joined(separator: ", "))
        }
        return lines.map { "\(socket.name): \($0)" }
    }
}

extension XDPRung {
    /// The rung that was asked for by name, if it is one of AF_XDP.
    init?(_ mode: RelayOptions.CaptureMode) {
        switch mode {
        case .auto, .afPacket: return nil
        case .zeroCopy: self = .zeroCopy
        case .native: self = .native
        case .generic: self = .generic
        }
    }
}
