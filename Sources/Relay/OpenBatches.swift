internal import Admission
internal import Machine
internal import Pcapng
internal import SegmentPool

/// The batches a worker has open at once, each with a writer and segments of its own, and the choice among them.
///
/// For live packets there is one where everybody gets everything or batches go by turns, and one for each destination where
/// conversations stay together: a batch belongs to one destination, so packets of different ones cannot share it. Where
/// packets may be diverted there is one more for each of these.
@safe struct OpenBatches: ~Copyable {
    // Safe because the writers live as long as the process and belong to this worker's thread alone.
    private let writers: UnsafeMutablePointer<BatchWriter>
    private let count: Int
    /// Those for live packets; the others behind them are for diverted ones.
    private let live: Int
    private let rule: Choice
    /// Room for the first bytes of a packet that does not lie in one piece.
    let head: UnsafeMutableRawPointer
    /// The one for the packet in hand.
    private var place = 0
    /// In the present burst one packet in so many is live.
    private var n: UInt32 = 1
    private var selector: PacketSelector

    /// How the batch for a packet is found.
    struct Choice {
        /// Where conversations have their places.
        var shares: ShareBoard
        /// Of the hash of conversations; the same for all workers of a run.
        var seed: UInt64
        /// What is diverted; nil for nothing.
        var admission: Diverting?
        fileprivate let isByFlow: Bool

        init(shares: ShareBoard, seed: UInt64, admission: Diverting? = nil) {
            (self.shares, self.seed, self.admission) = (shares, seed, admission)
            isByFlow = shares.rule == .byFlow
        }
    }

    /// Which packets are diverted, when not all can be live.
    struct Diverting {
        /// How many.
        var gate: AdmissionGate
        /// Whole conversations instead of packets.
        var isByFlow: Bool
        /// Only what this filter matches.
        var filter: FilterSlot
    }

    /// Bytes of `head`: more than the headers of any packet up to its addresses.
    static var headBytes: UInt32 { @_noLocks get { 256 } }

    /// - Parameter writers: `count` of them; their places are those of the board, then the same for diverted packets.
    init(_ writers: UnsafeMutablePointer<BatchWriter>, count: Int, rule: Choice) {
        unsafe self.writers = writers
        unsafe head = .allocate(byteCount: Int(Self.headBytes), alignment: 16)
        (self.count, self.rule) = (count, rule)
        live = rule.admission == nil ? count : count / 2
        // Workers draw differently, or a source that is spread over queues in turn would be sampled in step.
        selector = PacketSelector(seed: rule.seed ^ UInt64.random(in: 0...UInt64.max))
    }

    /// Whether the choice depends on the packet.
    var choosesByBytes: Bool { @_noLocks @inline(__always) get { rule.isByFlow || n > 1 } }

    /// Chooses the batch that the next record goes to, by the packet's first bytes.
    @_noLocks @inline(__always)
    mutating func choose(_ bytes: UnsafeRawPointer, captured: UInt32, original: UInt32, linkType: UInt16) {
        if choosesByBytes { return unsafe chooseClosely(bytes, captured, original, linkType) }
        chooseFirst()
    }

    /// Chooses the batch that everything goes to where the choice does not depend on the packet.
    @_noLocks @inline(__always)
    mutating func chooseFirst() { place = 0 }

    @_noLocks
    private mutating func chooseClosely(
        _ bytes: UnsafeRawPointer, _ captured: UInt32, _ original: UInt32, _ linkType: UInt16
    ) {
        var hash: UInt32 = 0
        let needsHash = rule.isByFlow || admitsByFlow
        if needsHash { hash = unsafe FlowHash.of(bytes, captured: Int(captured), linkType: linkType, seed: rule.seed) }
        place = rule.isByFlow ? rule.shares.place(ofHash: hash) : 0
        guard n > 1, let admission = rule.admission,
            unsafe admission.filter.isDivertible(bytes, captured: captured, original: original)
        else { return }
        // The upper bits of the hash choose the place: those that choose what is live must be others.
        let isLive =
            admission.isByFlow
            ? FlowSelector.admits(hash: hash &* 0x9E37_79B1, oneIn: n) : selector.admits(oneIn: n)
        if !isLive { place += live }
    }

    private var admitsByFlow: Bool {
        @_noLocks get { if let admission = rule.admission { n > 1 && admission.isByFlow } else { false } }
    }

    // ---- one record, into the batch that was chosen --------------------------------------------------------------------

    /// As `BatchWriter.append`.
    @_noLocks @inline(__always)
    mutating func append(
        time: UInt64, arrival: UInt64, interface: UInt32, bytes: UnsafeRawPointer, captured: UInt32, original: UInt32
    ) -> Bool {
        unsafe writers[place].append(
            time: time, arrival: arrival, interface: interface, bytes: bytes, captured: captured, original: original)
    }

    /// As `BatchWriter.reserve`.
    @_noLocks mutating func reserve(captured: Int, fragments: UInt32) -> UnsafeMutableRawPointer? {
        unsafe writers[place].reserve(captured: captured, fragments: fragments)
    }

    /// As `BatchWriter.commit`.
    @_noLocks mutating func commit(
        time: UInt64, arrival: UInt64, interface: UInt32, captured: UInt32, original: UInt32, fragments: UInt32
    ) {
        unsafe writers[place].commit(
            time: time, arrival: arrival, interface: interface, captured: captured, original: original,
            fragments: fragments)
    }

    /// As `BatchWriter.anticipate`, where the batch is known beforehand.
    @_noLocks @inline(__always)
    func anticipate(from offset: Int, count bytes: Int) {
        if live == 1, n == 1 { unsafe writers[0].anticipate(from: offset, count: bytes) }
    }

    // ---- all of them ---------------------------------------------------------------------------------------------------

    /// A burst begins: closes the batches that are old enough, leaves segments that are, and hears how much is to be diverted.
    @_noLocks @inline(__always)
    mutating func beginBurst(at arrival: UInt64) {
        if let admission = rule.admission { n = admission.gate.n }
        var number = 0
        while number < count {
            if unsafe arrival >= writers[number].deadline { unsafe writers[number].flush() }
            unsafe writers[number].leaveIfAsked()
            number += 1
        }
    }

    /// Closes all.
    @_noLocks mutating func flush() {
        var number = 0
        while number < count {
            unsafe writers[number].flush()
            number += 1
        }
    }

    /// Leaves all segments for good.
    @_noLocks mutating func seal() {
        var number = 0
        while number < count {
            unsafe writers[number].seal()
            number += 1
        }
    }

    /// Wakes the egress thread if there is something new for it.
    @_noLocks mutating func announce(urgently: Bool) {
        var number = 0
        while number < count {
            unsafe writers[number].announce(urgently: urgently)
            number += 1
        }
    }

    /// Packets in all open batches.
    var openPackets: UInt64 {
        @_noLocks get {
            var (number, packets) = (0, UInt64(0))
            while number < count {
                packets += UInt64(unsafe writers[number].openPackets)
                number += 1
            }
            return packets
        }
    }
}
