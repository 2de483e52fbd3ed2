internal import Capture
internal import Machine
internal import Pcapng
internal import Synchronization

/// The interfaces of a run, opened before anything else starts, each on its rung of the capture ladder; and the lanes they
/// make: one per interface, with AF_XDP one per receive queue.
@safe final class LiveInterfaces: @unchecked Sendable {
    // Safe because each place is taken once, by the thread that then owns the interface.

    /// One capture thread's source.
    struct Lane: Sendable {
        /// Place of the interface.
        var interface: Int
        /// Place of the receive queue among those of the interface, and its number; nil where the kernel shares no queues.
        var queue: (place: Int, number: UInt32)?
    }

    private(set) var names: [String] = []
    private(set) var lanes: [Lane] = []
    /// What is said about each at the start.
    private(set) var lines: [String] = []
    /// Some interface's kernel cannot apply the filter, so the workers must.
    private(set) var filterInUserSpace = false
    private var sockets: [XDPInterface?] = []
    private let places: UnsafeMutablePointer<PcapInterface?>
    private let count: Int

    init(_ options: RelayOptions) throws(RelayError) {
        count = options.isLive ? options.inputs.count : 0
        unsafe places = UnsafeMutablePointer<PcapInterface?>.allocate(capacity: max(count, 1))
        for place in 0..<count { unsafe (places + place).initialize(to: nil) }
        let selection = try Self.selection(options)
        for case .interface(let name, let queues) in options.inputs {
            let choice = try CaptureLadder.choose(name, queues, selection, options)
            lines += choice.lines
            sockets.append(choice.socket)
            if let socket = choice.socket {
                add(socket)
                if options.filter != nil, selection == nil { filterInUserSpace = true }
            } else {
                if options.busyPoll { lines.append("\(name): --busy-poll does nothing here, it is for AF_XDP") }
                try addPacketSocket(name, options)
            }
        }
    }

    /// The filter that is tested in the kernel with `--tap selective`.
    private static func selection(_ options: RelayOptions) throws(RelayError) -> SelectiveFilter? {
        guard options.isLive, options.tap == .selective, let filter = options.filter else { return nil }
        do throws(PacketFilterError) {
            _ = try PacketFilter(filter, linkType: .ethernet, isOptimized: false)
        } catch {
            throw RelayError(.usage, "-f: \(error)")
        }
        do throws(SelectiveFilter.Refusal) {
            return try SelectiveFilter(filter)
        } catch {
            throw RelayError(.usage, "--tap selective: -f \(error)")
        }
    }

    private func add(_ socket: XDPInterface) {
        for (place, number) in socket.queueNumbers.enumerated() {
            lanes.append(Lane(interface: names.count, queue: (place, number)))
        }
        names.append(socket.name)
    }

    private func addPacketSocket(_ name: String, _ options: RelayOptions) throws(RelayError) {
        do throws(PcapInterfaceError) {
            let interface = try PcapInterface(
                name, filter: options.filter ?? "", ringBytes: MemoryBudget.kernelRingBytes)
            if !interface.filtersInKernel { filterInUserSpace = true }
            lanes.append(Lane(interface: names.count, queue: nil))
            names.append(interface.name)
            unsafe places[names.count - 1] = consume interface
        } catch {
            throw RelayError(error)
        }
    }

    /// The packet socket at this place; the caller owns it from now on.
    func take(_ place: Int) -> PcapInterface {
        unsafe places[place].take()!
    }

    /// The AF_XDP sockets at this place, if it has any.
    func socket(_ place: Int) -> XDPInterface? { sockets[place] }

    /// Sets on the interfaces what they keep after the process. Call it once signals do not end the process any more: whatever
    /// ends the run from then on sets it back.
    func prepare() {
        for case let socket? in sockets { lines += CaptureLadder.prepare(socket) }
    }

    /// Has the programs leave our own connections to the kernel.
    func feed(from own: OwnTraffic) {
        for socket in sockets { socket?.feed(from: own) }
    }

    /// Has the programs know what has changed about their interfaces. For the control plane, now and then.
    func refresh() {
        for socket in sockets { socket?.refreshStation() }
    }

    /// Looks at an interface without taking it.
    func label(_ place: Int, filter: String?) -> (name: String, label: InterfaceLabel) {
        if let socket = sockets[place] { return (socket.name, socket.label(filter: filter)) }
        switch unsafe places[place] {
        case .some(let interface): return (interface.name, interface.label(filter: filter))
        case .none: preconditionFailure("an interface is looked at before it is taken")
        }
    }

    /// The rung of the ladder, what the host's stack sees, and whose clock stamps packets, as the report says it.
    func mode(_ place: Int) -> (rung: String, tap: String, clock: String) {
        guard let socket = sockets[place] else { return ("af-packet", "mirror", "kernel") }
        return (
            socket.rung.rawValue, socket.filter == nil ? "consume" : "selective", socket.asksCard ? "card" : "kernel"
        )
    }
}
