internal import Capture
internal import Glibc
internal import Machine

/// The capture thread over one interface, through libpcap.
@safe struct LiveReader: ~Copyable {
    // Safe because `path` is this reader's alone and lives as long as the process.
    private var interface: PcapInterface
    private let counters: Counters
    private let stops: StopFlags
    private let path: UnsafeMutablePointer<LivePath>
    private var lastStatistics: UInt64 = 0

    /// - Parameter id: the interface's number in the run; nil for raw IP, whose link type the first packet decides.
    init(
        interface: consuming PcapInterface, id: UInt32?, counters: Counters, stops: StopFlags,
        sink: consuming PacketSink
    ) {
        self.interface = interface
        (self.counters, self.stops) = (counters, stops)
        unsafe path = UnsafeMutablePointer<LivePath>.allocate(capacity: 1)
        unsafe path.initialize(to: LivePath(sink: sink, counters: counters, id: id))
    }

    /// Captures until told to stop or the interface is gone; returns why, in the latter case.
    ///
    /// - Parameter register: gives a raw IP interface its number in the run, once its IP version is known.
    mutating func run(register: (UInt8) throws(RelayError) -> UInt32) -> RelayError? {
        do throws(PcapInterfaceError) { try interface.startArrivals() } catch { return end(RelayError(error)) }
        while !stops.isSet, !interface.hasFailed {
            if burst() == 0 { wait(milliseconds: 100) }
            if unsafe path.pointee.needsNumber {
                do throws(RelayError) {
                    unsafe path.pointee.settle(try register(path.pointee.version))
                } catch {
                    return end(error)
                }
            }
            // The kernel's counters are 32 bits and a system call away; a few times a second is enough.
            if Clock.monotonic() &- lastStatistics > 100_000_000 { account() }
        }
        let problem = interface.hasFailed ? RelayError(interface.failure) : nil
        interface.stopArrivals()
        // What had arrived is read to the end, so that the kernel's count and ours add up exactly. The block it filled
        // last comes a few milliseconds late.
        let deadline = Clock.monotonic() + 1_000_000_000
        while !interface.isDrained, Clock.monotonic() < deadline {
            if burst() == 0 { wait(milliseconds: 5) }
        }
        return end(problem)
    }

    private mutating func end(_ problem: RelayError?) -> RelayError? {
        account()
        unsafe path.pointee.sink.finish(stops)
        return problem
    }

    @_noLocks private mutating func burst() -> Int {
        unsafe path.pointee.sink.beginBurst()
        let count = unsafe interface.drain(limit: 256, context: UnsafeMutableRawPointer(path), takeLivePacket)
        unsafe path.pointee.sink.endBurst()
        return count
    }

    private mutating func wait(milliseconds: Int32) {
        unsafe path.pointee.sink.pause()
        var descriptor = pollfd(fd: interface.descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&descriptor, 1, milliseconds)
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

/// What happens to a live packet, where it lies in the kernel's ring.
struct LivePath: ~Copyable {
    var sink: PacketSink
    let counters: Counters
    private var id: UInt32
    /// 0 for any link type but raw IP; there 4 or 6 once the first packet has come, and `unknown` before.
    private(set) var version: UInt8
    /// The first raw IP packet has come, and the interface has no number yet.
    private(set) var needsNumber = false

    private static var unknown: UInt8 { @_noLocks get { 255 } }

    init(sink: consuming PacketSink, counters: Counters, id: UInt32?) {
        self.sink = sink
        self.counters = counters
        self.id = id ?? 0
        version = id == nil ? Self.unknown : 0
    }

    /// The interface has its number.
    mutating func settle(_ id: UInt32) {
        self.id = id
        needsNumber = false
    }

    @_noLocks mutating func take(_ packet: Arrived, _ bytes: UnsafeRawPointer) {
        var packet = packet
        if version != 0, unsafe !isOfOurVersion(packet, bytes) { return counters.add(.droppedLinkType) }
        packet.interface = id
        // A capture thread never waits: with the ring full the packet is lost, and counted.
        if unsafe !sink.put(packet, bytes) { counters.add(.droppedRing) }
    }

    /// Raw IP has no link type of its own in our streams (docs/format.md): the first packet's version decides, and what
    /// comes before the interface has its number, or is of the other version, is lost, and counted.
    @_noLocks private mutating func isOfOurVersion(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Bool {
        let seen = packet.captured > 0 ? unsafe bytes.load(as: UInt8.self) >> 4 : 0
        if version == Self.unknown, seen == 4 || seen == 6 {
            version = seen
            needsNumber = true
        }
        return seen == version && !needsNumber
    }
}

/// The C function that libpcap calls for each packet.
@_noLocks
private func takeLivePacket(
    _ context: UnsafeMutableRawPointer?, _ time: UInt64, _ captured: UInt32, _ original: UInt32,
    _ bytes: UnsafeRawPointer?
) {
    let path = unsafe context!.assumingMemoryBound(to: LivePath.self)
    let packet = Arrived(time: time, interface: 0, captured: captured, original: original)
    unsafe path.pointee.take(packet, bytes!)
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
