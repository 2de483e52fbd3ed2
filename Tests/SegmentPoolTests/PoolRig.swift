import Glibc
import Machine
import Pcapng
import SegmentPool
import TestSupport

/// Random numbers that are the same in every run (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    /// A number below `bound`.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// A pool with its index and writers in the hands of a test.
@safe final class PoolRig {
    // Safe because `room` has a place for every batch the pool can hold.
    let pool: SegmentPool
    let registry: InterfaceRegistry
    let run = RunIdentity.random()
    var index: BatchIndex
    private(set) var writers: [PoolWriter] = []
    private var rings: [Ring] = []
    /// Where the index's callbacks put what they are given: they must not allocate.
    private let room: UnsafeMutablePointer<BatchReference>

    private final class Ring {
        var producer: RingProducer<UInt32>
        init(_ producer: consuming RingProducer<UInt32>) { self.producer = producer }
    }

    init(
        segmentBytes: Int = 512 << 10, segments: Int, ready: Int? = nil, slots: Int, workers: Int = 1,
        limits: BatchLimits = BatchLimits()
    ) throws {
        pool = try SegmentPool(segmentBytes: segmentBytes, count: segments, pages: .off, node: nil, ready: ready)
        registry = try InterfaceRegistry()
        _ = registry.register(Self.interface(0))
        index = try BatchIndex(pool: pool, slots: slots, workers: workers)
        unsafe room = .allocate(capacity: segments * pool.maximumBatches)
        let wake = try WakeSignal()
        for worker in 0..<workers {
            let ring = try SPSCRing<UInt32>(capacity: 8)
            rings.append(Ring(ring.makeProducer()))
            let counters = try Counters()
            let writer = BatchWriter(
                pool: pool, free: ring.makeConsumer(), limits: limits, run: run, worker: UInt16(worker),
                interfaces: registry.view, counters: counters, wake: wake)
            writers.append(PoolWriter(writer, counters))
        }
    }

    deinit { unsafe room.deallocate() }

    /// The description of interface `number`.
    static func interface(_ number: Int) -> [UInt8] {
        StreamBlocks.interface(InterfaceLabel(linkType: 1, name: "eth\(number)"))
    }

    /// Gives a worker a segment; false if there is none or it has enough.
    func handOut(_ worker: Int) -> Bool { index.handOut(to: worker, through: &rings[worker].producer) }

    /// Takes in, and says what came.
    func takeIn(_ worker: Int, limit: Int = .max) -> [BatchReference] {
        let pool = self.pool
        var (found, packets) = (0, 0)
        let count = index.takeIn(worker: worker, limit: limit) { [room = unsafe room] reference, number in
            unsafe room[found] = reference
            found += 1
            packets += Int(number)
        }
        let references = (0..<found).map { unsafe room[$0] }
        precondition(count == found && packets == references.reduce(0) { $0 + Int(pool.packets($1)) })
        return references
    }

    /// Takes a segment away from a slot, and says which batches and packets are lost.
    func evict(_ slot: Int, from segment: UInt32) -> (lost: [BatchReference], packets: Int) {
        var (found, packets) = (0, 0)
        index.evict(slot, from: segment) { [room = unsafe room] reference, number in
            unsafe room[found] = reference
            found += 1
            packets += Int(number)
        }
        return ((0..<found).map { unsafe room[$0] }, packets)
    }

    // What the index says, as values that an expectation can hold.
    func newest(_ slot: Int) -> BatchReference? { index.newest(slot) }
    func oldest(_ slot: Int) -> BatchReference? { index.oldest(slot) }
    func isDrained(_ slot: Int) -> Bool { index.isDrained(slot) }
    func owedSegments(_ slot: Int) -> Int { index.owedSegments(slot) }
    func isJoined(_ slot: Int) -> Bool { index.isJoined(slot) }
    func inFlight(_ slot: Int, in segment: UInt32) -> UInt32 { index.inFlight(slot, in: segment) }
    func leave(_ slot: Int) -> UInt64 { index.leave(slot) }
    func hasTakenInAll(_ worker: Int) -> Bool { index.hasTakenInAll(worker: worker) }
    func wantsSegment(_ worker: Int) -> Bool { index.wantsSegment(worker: worker) }
    func victim(evenHeld: Bool) -> UInt32? { index.victim(evenHeld: evenHeld) }
    func victim(owedOnlyTo mask: UInt64) -> UInt32? { index.victim(owedOnlyTo: mask) }
    func admitTouched() -> Bool { index.admitTouched() }
    var freeSegments: Int { index.freeSegments }

    /// The bytes of a batch now.
    func bytes(_ reference: BatchReference) -> [UInt8] { unsafe Array(pool.batch(reference)) }

    /// What a stream of these batches would be; the parser holds everything against the format.
    func stream(_ batches: [[UInt8]]) throws -> ParsedStream {
        var bytes = StreamBlocks.sectionHeader(hardware: nil, system: nil, application: "the tests")
        let view = registry.view
        bytes += unsafe Array(view.descriptions(from: 0, to: view.count))
        bytes += StreamBlocks.lane(0, kind: .live, run: run, destination: "")
        for batch in batches { bytes += batch }
        return try ParsedStream(bytes)
    }
}

/// A batch writer and what it was given.
final class PoolWriter {
    private var writer: BatchWriter
    let counters: Counters
    private(set) var packets: [SamplePacket] = []
    /// Arrival of the packet given last; set it to choose the next one's.
    var arrival: UInt64 = 1000

    init(_ writer: consuming BatchWriter, _ counters: Counters) {
        self.writer = writer
        self.counters = counters
    }

    /// Encodes a packet of this many bytes that is unlike all others; false if there is no segment.
    func append(_ count: Int, interface: UInt32 = 0) -> Bool {
        let number = UInt64(packets.count)
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)
        for place in 0..<min(count, 8) { bytes[place] = UInt8(truncatingIfNeeded: number >> UInt64(8 * place)) }
        // Packet times go up and down.
        let packet = SamplePacket(
            time: 1 << 60 + (number ^ 5), original: UInt32(count) + 7, interface: interface, bytes: bytes)
        let fits = unsafe bytes.withUnsafeBytes {
            unsafe writer.append(
                time: packet.time, arrival: arrival, interface: interface, bytes: $0.baseAddress!,
                captured: UInt32(count), original: packet.original)
        }
        if fits { packets.append(packet) }
        return fits
    }

    func flush() { writer.flush() }
    func seal() { writer.seal() }
    var openPackets: UInt32 { writer.openPackets }
    var deadline: UInt64 { writer.deadline }
}
