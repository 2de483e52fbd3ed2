internal import Capture
internal import Glibc
internal import Machine

/// The capture thread over one interface, through libpcap.
struct LiveReader: ~Copyable {
    private var interface: PcapInterface
    private let id: UInt32
    private let counters: Counters
    private let stops: StopFlags
    private var sink: PacketSink
    private var lastStatistics: UInt64 = 0

    /// - Parameter id: the interface's number in the run.
    init(
        interface: consuming PcapInterface, id: UInt32, counters: Counters, stops: StopFlags, sink: consuming PacketSink
    ) {
        self.interface = interface
        (self.id, self.counters, self.stops) = (id, counters, stops)
        self.sink = sink
    }

    /// Captures until told to stop or the interface is gone; returns why, in the latter case.
    mutating func run() -> RelayError? {
        do throws(PcapInterfaceError) { try interface.startArrivals() } catch { return end(RelayError(error)) }
        while !stops.isSet, !interface.hasFailed {
            let count = burst()
            if count == 0 { wait() }
            // The kernel's counters are 32 bits and a system call away; a few times a second is enough.
            if Clock.monotonic() &- lastStatistics > 100_000_000 { account() }
        }
        let problem = interface.hasFailed ? RelayError(interface.failure) : nil
        interface.stopArrivals()
        // What had arrived is read to the end, so that the kernel's count and ours add up exactly.
        while !interface.isDrained, burst() > 0 {}
        return end(problem)
    }

    private mutating func end(_ problem: RelayError?) -> RelayError? {
        account()
        sink.finish()
        return problem
    }

    @_noLocks private mutating func burst() -> Int {
        sink.beginBurst()
        var count = 0
        while count < 256, let packet = interface.next() {
            let arrived = Arrived(
                time: packet.time, interface: id, captured: packet.captured, original: packet.original)
            // A capture thread never waits: with the ring full the packet is lost, and counted.
            if unsafe !sink.put(arrived, packet.bytes) { counters.add(.droppedRing) }
            count += 1
        }
        sink.endBurst()
        return count
    }

    private mutating func wait() {
        sink.pause()
        var descriptor = pollfd(fd: interface.descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&descriptor, 1, 100)
    }

    private mutating func account() {
        lastStatistics = Clock.monotonic()
        let kernel = interface.statistics()
        // The kernel's figure can be a moment older than what was read since.
        counters.set(.captured, max(kernel.captured, interface.readCount + kernel.dropped))
        counters.set(.droppedKernel, kernel.dropped)
        counters.publish()
    }
}

extension RelayError {
    /// What an interface's error means for the exit code.
    init(_ error: PcapInterfaceError) {
        switch error {
        case .noSuchInterface, .removed: self.init(.noInput, "-i \(error)")
        case .notPermitted: self.init(.notPermitted, "-i \(error)")
        case .filter: self.init(.usage, "-f: \(error)")
        case .isDown, .cannotOpen, .cannotRead: self.init(.kernel, "-i \(error)")
        }
    }
}
