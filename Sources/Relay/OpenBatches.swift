internal import Machine
internal import Pcapng
internal import SegmentPool

/// The batches a worker has open at once, each with a writer and segments of its own, and the choice among them.
///
/// There is one where everybody gets everything or batches go by turns, and one for each destination where conversations
/// stay together: a batch belongs to one destination, so packets of different ones cannot share it.
@safe struct OpenBatches: ~Copyable {
    // Safe because the writers live as long as the process and belong to this worker's thread alone.
    private let writers: UnsafeMutablePointer<BatchWriter>
    private let count: Int
    private let rule: Choice
    /// Room for the first bytes of a packet that does not lie in one piece.
    let head: UnsafeMutableRawPointer
    /// The one for the packet in hand.
    private var place = 0

    /// How the batch for a packet is found.
    struct Choice {
        /// Where conversations have their places.
        var shares: ShareBoard
        /// Whether they are asked for.
        var isByFlow: Bool
        /// Of the hash of conversations; the same for all workers of a run.
        var seed: UInt64

        init(shares: ShareBoard, seed: UInt64) {
            (self.shares, self.seed) = (shares, seed)
            isByFlow = shares.rule == .byFlow
        }
    }

    /// Bytes of `head`: more than the headers of any packet up to its addresses.
    static var headBytes: UInt32 { @_noLocks get { 256 } }

    /// - Parameter writers: `count` of them; their places are those of the board.
    init(_ writers: UnsafeMutablePointer<BatchWriter>, count: Int, rule: Choice) {
        unsafe self.writers = writers
        unsafe head = .allocate(byteCount: Int(Self.headBytes), alignment: 16)
        (self.count, self.rule) = (count, rule)
    }

    /// Whether the choice depends on the packet.
    var choosesByBytes: Bool { @_noLocks @inline(__always) get { rule.isByFlow } }

    /// Chooses the batch that the next record goes to, by the packet's first bytes.
    @_noLocks @inline(__always)
    mutating func choose(_ bytes: UnsafeRawPointer, captured: UInt32, linkType: UInt16) {
        if rule.isByFlow { unsafe chooseByFlow(bytes, captured: captured, linkType: linkType) }
    }

    @_noLocks
    private mutating func chooseByFlow(_ bytes: UnsafeRawPointer, captured: UInt32, linkType: UInt16) {
        let hash = unsafe FlowHash.of(bytes, captured: Int(captured), linkType: linkType, seed: rule.seed)
        place = rule.shares.place(ofHash: hash)
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
        if count == 1 { unsafe writers[0].anticipate(from: offset, count: bytes) }
    }

    // ---- all of them ---------------------------------------------------------------------------------------------------

    /// Closes the batches that are old enough.
    @_noLocks @inline(__always)
    mutating func closeOld(at arrival: UInt64) {
        var number = 0
        while number < count {
            if unsafe arrival >= writers[number].deadline { unsafe writers[number].flush() }
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
