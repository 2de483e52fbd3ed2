internal import Capture
internal import Glibc
internal import Machine

/// The capture thread over one receive queue, through AF_XDP.
struct XDPReader: ~Copyable {
    private var queue: XDPQueue
    private let interface: XDPInterface
    private let counts: XDPCounts
    /// Queues without a thread, which one of the threads counts.
    private let others: [XDPCounts]
    private let id: UInt32
    private let counters: Counters
    private let stops: StopFlags
    private let log: @Sendable (String) -> Void
    private var sink: PacketSink
    private var lastStatistics: UInt64 = 0
    private var naps: Naps
    /// The next nap; nil if the input pauses.
    private var nap: UInt64?
    private var emptyTurns = 0

    /// Packets of one burst at most; the clock is read once for all of them.
    private static var burst: Int { @_noLocks get { 256 } }
    /// After so many naps without a packet the input counts as paused.
    private static let emptyNaps = 2

    /// - Parameters:
    ///   - place: the queue's place among those of the interface; the first one's thread counts for the others.
    ///   - id: the interface's number in the run.
    ///   - longestNap: nanoseconds that packets may be kept waiting.
    init(
        interface: XDPInterface, place: Int, id: UInt32, counters: Counters, stops: StopFlags,
        sink: consuming PacketSink, longestNap: UInt64, log: @escaping @Sendable (String) -> Void
    ) {
        self.log = log
        let queue = interface.take(place)
        naps = Naps(longest: longestNap, room: queue.frameCount)
        self.queue = queue
        counts = interface.counts(place)
        others = place == 0 ? interface.otherCounts() : []
        (self.interface, self.id, self.counters, self.stops) = (interface, id, counters, stops)
        self.sink = sink
    }

    /// Captures until told to stop or the interface is gone; returns why, in the latter case.
    mutating func run() -> RelayError? {
        do throws(XDPError) { try interface.startArrivals(queue) } catch { return end(RelayError(error)) }
        log("\(interface.name): packets of queue \(queue.queue) arrive")
        var isOver = false
        while !stops.isSet, !isOver {
            let count = burst()
            if count > 0 {
                emptyTurns = 0
                naps.took(count)
            } else {
                isOver = wait()
            }
            if Clock.monotonic() &- lastStatistics > 100_000_000 { account() }
        }
        // Asked before the program goes for good.
        let cause = isOver ? interface.end : nil
        interface.stopArrivals()
        settle()
        return end(cause.map { RelayError($0) })
    }

    /// Reads what was on its way when the program went: until the program's count and ours add up.
    private mutating func settle() {
        for _ in 0..<100 {
            while burst() > 0 {}
            if counts.redirected <= queue.readCount + queue.losses().packets + counts.failed { return }
            Clock.sleep(nanoseconds: 1_000_000)
        }
    }

    private mutating func end(_ problem: RelayError?) -> RelayError? {
        account()
        // What the program gave away and nobody got or counted.
        let explained = queue.readCount &+ queue.losses().packets &+ counters.value(.droppedRedirect)
        counters.set(.droppedUnexplained, counters.value(.captured) &- explained)
        counters.publish()
        sink.finish(stops)
        return problem
    }

    @_noLocks private mutating func burst() -> Int {
        sink.beginBurst()
        var count = 0
        while count < Self.burst, let packet = queue.next() {
            let arrived = Arrived(
                time: packet.time, interface: id, captured: packet.captured, original: packet.original)
            // A capture thread never waits: with the ring full the packet is lost, and counted.
            if unsafe !sink.put(arrived, packet.bytes) { counters.add(.droppedRing) }
            count += 1
        }
        if count > 0 { queue.release() }
        sink.endBurst()
        return count
    }

    /// In a stream naps, so that packets are taken in bursts instead of one by one; otherwise tells that the input pauses,
    /// and sleeps until something comes. Returns whether nothing will come any more.
    private mutating func wait() -> Bool {
        emptyTurns += 1
        if interface.busyPolls { return pollBusily() }
        if emptyTurns == 1 { nap = naps.choose(at: Clock.monotonic()) }
        if let nap, emptyTurns <= Self.emptyNaps {
            Clock.sleep(nanoseconds: nap)
            return false
        }
        sink.pause()
        var descriptor = pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0)
        let status = unsafe poll(&descriptor, 1, sink.longestSleep)
        let isTroubled = descriptor.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0
        guard status == 0 || isTroubled else { return false }
        if interface.isOver { return true }
        // An interface that is down troubles the socket for as long as it is.
        if isTroubled { Clock.sleep(nanoseconds: 10_000_000) }
        return false
    }

    /// Has the kernel fetch what there is, instead of waiting for it. Returns whether nothing will come any more.
    private mutating func pollBusily() -> Bool {
        queue.poll()
        if emptyTurns == Self.emptyNaps + 1 { sink.pause() }
        // Nothing tells of an interface that goes, so it is looked at now and then.
        return emptyTurns & 0xffff == 0 && interface.isOver
    }

    private mutating func account() {
        lastStatistics = Clock.monotonic()
        let statistics = queue.statistics()
        let losses = queue.losses(statistics)
        let failed = counts.failed
        // The program's figure is read last, so that it is never behind.
        counters.set(.captured, max(counts.redirected, queue.readCount + losses.packets + failed))
        counters.set(.droppedRedirect, failed)
        counters.set(.droppedFillRingEmpty, losses.fillRingEmpty)
        counters.set(.droppedReceiveRingFull, losses.receiveRingFull)
        counters.set(.droppedOversize, losses.oversize)
        counters.set(statistics)
        counters.set(.passed, counts.passed)
        counters.set(.unmatched, counts.unmatched)
        counters.set(.cardStamped, counts.cardStamped)
        // A loop, because reducing may allocate.
        var left: UInt64 = 0
        for place in 0..<others.count { left &+= others[place].withoutSocket }
        counters.set(.otherQueues, left)
        counters.publish()
    }
}

extension Counters {
    /// The kernel's figures about a socket.
    fileprivate func set(_ statistics: XDPQueue.Statistics) {
        set(.socketRxDropped, statistics.rxDropped)
        set(.invalidDescriptors, statistics.rxInvalidDescriptors)
        set(.socketRxRingFull, statistics.rxRingFull)
        set(.socketFillRingEmpty, statistics.rxFillRingEmpty)
        set(.socketTxInvalid, statistics.txInvalidDescriptors)
        set(.socketTxRingEmpty, statistics.txRingEmpty)
    }
}

extension RelayError {
    /// What an interface's error means for the exit code.
    init(_ error: XDPError) {
        switch error {
        case .noSuchInterface, .removed: self.init(.noInput, "-i \(error)")
        case .notPermitted: self.init(.notPermitted, "-i \(error)")
        case .noSuchQueue: self.init(.usage, "-i \(error)")
        case .isDown, .notEthernet, .isClaimed, .foreignProgram, .detached, .refused: self.init(.kernel, "-i \(error)")
        }
    }
}
