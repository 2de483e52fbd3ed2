internal import Capture
internal import Machine
internal import Pcapng
internal import Reassembly
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
    /// Fragments become datagrams.
    var reassembles: Bool
}

/// The worker: filters, puts fragments together, cuts and encodes packets into its segments. Owned by one thread; it shares
/// nothing but rings, published words and the snapshot of its counters.
@safe struct Worker: ~Copyable {
    // Safe because the reassembler lives as long as the process and is this worker's alone.
    var open: OpenBatches
    let counters: Counters
    var rules: WorkerRules
    private let own: OwnTraffic
    let filter: FilterSlot
    var remaining: UInt64
    /// The time of the present burst, UTC.
    var arrival: UInt64 = 0
    let reassembler: UnsafeMutablePointer<Reassembler>
    /// Whether there may be unfinished datagrams, so that nearly every packet needs to look no further.
    var mayHold = false
    var exchange: FragmentExchange

    /// - Parameters:
    ///   - reassembler: not looked at unless `rules.reassembles`.
    ///   - exchange: how fragments get to the worker that owns their datagram.
    init(
        open: consuming OpenBatches, counters: Counters, rules: WorkerRules, own: OwnTraffic, filter: FilterSlot,
        reassembler: UnsafeMutablePointer<Reassembler>, exchange: consuming FragmentExchange
    ) {
        unsafe self.reassembler = reassembler
        self.exchange = exchange
        self.open = open
        self.counters = counters
        self.rules = rules
        self.own = own
        self.filter = filter
        remaining = rules.limit
    }

    /// A burst begins: reads the clock once for all its packets, and closes a batch that is old enough.
    @_noLocks mutating func beginBurst() {
        arrival = Clock.monotonic() &+ rules.utcOffset
        open.closeOld(at: arrival)
        takeIncoming()
        publish()
    }

    /// A burst ends: what it filled is announced.
    @_noLocks mutating func endBurst() { open.announce(urgently: false) }

    /// Takes one packet. False, with nothing counted, if there is no room and the reader is to wait.
    @_noLocks @inline(__always) mutating func take(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Bool {
        if rules.excludesOwn, unsafe own.matches(bytes, captured: Int(packet.captured), linkType: filter.linkType) {
            counters.add(.filteredOwn)
        } else if unsafe !filter.matches(bytes, captured: packet.captured, original: packet.original) {
            counters.add(.filteredExpression)
        } else if remaining == 0 {
            counters.add(.filteredCount)
        } else {
            let outcome = unsafe rules.reassembles ? reassemble(packet, bytes) : encode(packet, bytes)
            switch outcome {
            case .taken: countDown()
            case .handedOn:
                // The worker that owns the datagram counts it when it comes.
                countDown()
                return true
            case .lost: break
            case .refused: return false
            }
        }
        count(packet)
        return true
    }

    /// What became of a packet.
    enum Outcome {
        case taken, handedOn, lost
        /// There is no room, and the reader is to wait.
        case refused
    }

    /// Encodes a packet as it is.
    @_noLocks @inline(__always)
    mutating func encode(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Outcome {
        let captured = min(packet.captured, rules.snapLength)
        unsafe open.choose(bytes, captured: packet.captured, linkType: filter.linkType)
        let isEncoded = unsafe open.append(
            time: packet.time, arrival: arrival, interface: packet.interface, bytes: bytes, captured: captured,
            original: packet.original)
        guard isEncoded else {
            if rules.waits { return .refused }
            counters.add(.droppedPoolFull)
            return .lost
        }
        if captured < packet.captured { counters.add(.cutPackets) }
        return .taken
    }

    @_noLocks @inline(__always)
    func count(_ packet: Arrived) {
        counters.add(.received)
        counters.add(.receivedBytes, UInt64(packet.captured))
    }

    @_noLocks @inline(__always)
    private mutating func countDown() {
        remaining -= 1
        if remaining == 0 { rules.limitReached.set() }
    }

    /// From now on a full pool loses packets instead of holding the reader.
    @_noLocks mutating func stopWaiting() { rules.waits = false }

    /// The input pauses: what is open goes out now, and fragments grow old by the clock. To be called again and again while
    /// the pause lasts.
    @_noLocks mutating func pause() {
        arrival = Clock.monotonic() &+ rules.utcOffset
        takeIncoming()
        ageFragments()
        open.flush()
        open.announce(urgently: true)
        publish()
    }

    /// The end of the input: unfinished datagrams leave as fragments, the last batch closes, the segment is left. False if
    /// that is not over yet: there is no room, or others may still hand fragments on. It is to be called again then.
    @_noLocks mutating func finish() -> Bool {
        arrival = Clock.monotonic() &+ rules.utcOffset
        guard finishFragments() else {
            publish()
            return false
        }
        open.seal()
        open.announce(urgently: true)
        publish()
        return true
    }

    /// Whether nothing is open.
    var isEmpty: Bool { @_noLocks get { open.openPackets == 0 && holdsNothing } }

    @_noLocks private mutating func publish() {
        counters.set(.inWorker, open.openPackets + heldFrames)
        counters.publish()
    }
}
