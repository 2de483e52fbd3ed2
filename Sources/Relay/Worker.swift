internal import Capture
internal import Machine
internal import Pcapng
internal import SegmentPool

/// One packet on its way from capture to worker: its bytes stay where they are.
struct Arrived: BitwiseCopyable {
    var time: UInt64
    var interface: UInt32
    var captured: UInt32
    var original: UInt32

    @_noLocks init(time: UInt64, interface: UInt32, captured: UInt32, original: UInt32) {
        (self.time, self.interface, self.captured, self.original) = (time, interface, captured, original)
    }
}

/// What a worker does with every packet beside encoding it.
struct WorkerRules: Sendable {
    /// Bytes kept of each packet.
    var snapLength: UInt32
    /// Packets to encode; the rest is filtered by count.
    var limit: UInt64
    /// Set when the limit is reached.
    var limitReached: StopFlag
    /// A full pool makes the reader wait instead of losing packets.
    var waits: Bool
    /// Drop our own connections' packets: they come by on live interfaces only.
    var excludesOwn: Bool
    /// What to add to the monotonic clock to get UTC.
    var utcOffset: UInt64
}

/// The worker: filters, cuts and encodes packets into its segment. Owned by one thread; it shares nothing but rings,
/// published words and the snapshot of its counters.
struct Worker: ~Copyable {
    private var writer: BatchWriter
    private let counters: Counters
    private var rules: WorkerRules
    private let own: OwnTraffic
    private let filter: FilterSlot
    private var remaining: UInt64
    /// The time of the present burst, UTC.
    private var arrival: UInt64 = 0

    init(writer: consuming BatchWriter, counters: Counters, rules: WorkerRules, own: OwnTraffic, filter: FilterSlot) {
        self.writer = writer
        self.counters = counters
        self.rules = rules
        self.own = own
        self.filter = filter
        remaining = rules.limit
    }

    /// A burst begins: reads the clock once for all its packets, and closes a batch that is old enough.
    @_noLocks mutating func beginBurst() {
        arrival = Clock.monotonic() &+ rules.utcOffset
        if arrival >= writer.deadline { writer.flush() }
        publish()
    }

    /// A burst ends: what it filled is announced.
    @_noLocks mutating func endBurst() { writer.announce(urgently: false) }

    /// Takes one packet. False, with nothing counted, if there is no room and the reader is to wait.
    @_noLocks @inline(__always) mutating func take(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Bool {
        if rules.excludesOwn, unsafe own.matches(bytes, captured: Int(packet.captured), linkType: filter.linkType) {
            counters.add(.filteredOwn)
        } else if unsafe !filter.matches(bytes, captured: packet.captured, original: packet.original) {
            counters.add(.filteredExpression)
        } else if remaining == 0 {
            counters.add(.filteredCount)
        } else {
            let captured = min(packet.captured, rules.snapLength)
            let isEncoded = unsafe writer.append(
                time: packet.time, arrival: arrival, interface: packet.interface, bytes: bytes, captured: captured,
                original: packet.original)
            if isEncoded {
                remaining -= 1
                if remaining == 0 { rules.limitReached.set() }
                if captured < packet.captured { counters.add(.cutPackets) }
            } else if rules.waits {
                return false
            } else {
                counters.add(.droppedPoolFull)
            }
        }
        counters.add(.received)
        counters.add(.receivedBytes, UInt64(packet.captured))
        return true
    }

    /// From now on a full pool loses packets instead of holding the reader.
    @_noLocks mutating func stopWaiting() { rules.waits = false }

    /// The input pauses: what is open goes out now.
    @_noLocks mutating func pause() {
        writer.flush()
        writer.announce(urgently: true)
        publish()
    }

    /// The end of the input: the last batch closes, the segment is left.
    @_noLocks mutating func finish() {
        writer.seal()
        writer.announce(urgently: true)
        publish()
    }

    /// Whether nothing is open.
    var isEmpty: Bool { @_noLocks get { writer.openPackets == 0 } }

    @_noLocks private mutating func publish() {
        counters.set(.inWorker, UInt64(writer.openPackets))
        counters.publish()
    }
}
