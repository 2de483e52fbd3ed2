import Machine
import Pcapng
import Reassembly
import TestSupport
import Testing

/// A frame as it came or left.
struct Frame: Hashable {
    var bytes: [UInt8]
    var time: UInt64 = 0
    var interface: UInt32 = 0
    var original: UInt32

    init(_ bytes: [UInt8], time: UInt64 = 0, interface: UInt32 = 0, original: Int? = nil) {
        (self.bytes, self.time, self.interface) = (bytes, time, interface)
        self.original = UInt32(original ?? bytes.count)
    }
}

/// A reassembler with what a worker does around it, and everything that came out.
@safe final class Rig {
    // Safe because the memory lives as long as the rig and is handed to nobody else.
    private var reassembler: Reassembler
    private let memory: UnsafeMutableRawPointer
    let counters: Counters
    let linkType: UInt16
    /// Datagrams put together: their bytes, time of their record, number of frames.
    private(set) var datagrams: [(bytes: [UInt8], time: UInt64, fragments: UInt32)] = []
    /// How they begin, as it is shown before they are written.
    private(set) var heads: [[UInt8]] = []
    /// Frames that went on as they came.
    private(set) var passed: [Frame] = []
    /// Everything that was sent.
    private(set) var sent: [Frame] = []
    var arrival: UInt64 = 1_000_000_000_000

    init(
        _ policy: OverlapPolicy = .drop, memory bytes: Int = ReassemblySettings.leastMemory,
        timeout: UInt64 = 30_000_000_000, linkType: UInt16 = 1, seed: HashSeed = HashSeed(1, 2, 3, 4)
    ) throws {
        var settings = ReassemblySettings()
        (settings.policy, settings.memory, settings.timeout) = (policy, bytes, timeout)
        // Memory of exactly this size lets a sanitizer see what goes beyond it.
        unsafe memory = .allocate(byteCount: bytes, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xA5, count: bytes)
        counters = try Counters()
        self.linkType = linkType
        unsafe reassembler = Reassembler(settings, memory: memory, seed: seed, counters: counters)
    }

    deinit { unsafe memory.deallocate() }

    /// Sends frames one after the other.
    func send(_ frames: [[UInt8]], time: UInt64 = 0) { for frame in frames { send(Frame(frame, time: time)) } }

    /// Sends one frame, as a worker takes it.
    func send(_ frame: Frame) {
        sent.append(frame)
        let stamp = FrameStamp(
            time: frame.time, interface: frame.interface, captured: UInt32(frame.bytes.count), original: frame.original)
        unsafe frame.bytes.withUnsafeBytes { buffer in
            guard let bytes = buffer.baseAddress else { return }
            if !reassembler.isEmpty { reassembler.advance(stamp: frame.time, arrival: arrival) }
            drain()
            if unsafe FragmentHeaders.isSurelyWhole(bytes, captured: stamp.captured, linkType: linkType) {
                passed.append(frame)
                return
            }
            guard let headers = unsafe FragmentHeaders(bytes, captured: buffer.count, linkType: linkType) else {
                passed.append(frame)
                return
            }
            unsafe take(frame, stamp, headers, bytes)
        }
    }

    private func take(_ frame: Frame, _ stamp: FrameStamp, _ headers: FragmentHeaders, _ bytes: UnsafeRawPointer) {
        while true {
            let verdict = unsafe reassembler.take(stamp, headers, bytes, arrival: arrival)
            drain()
            switch verdict {
            case .makeRoom: continue
            case .held: return
            case .pass(let reason):
                reassembler.countPassed(reason)
                passed.append(frame)
                return
            case .complete(let datagram):
                let room = UnsafeMutableRawBufferPointer.allocate(byteCount: datagram.byteCount + 16, alignment: 4)
                defer { unsafe room.deallocate() }
                var head = [UInt8](repeating: 0, count: 256)
                let count = unsafe head.withUnsafeMutableBytes {
                    unsafe reassembler.copyCompletedHead(to: $0.baseAddress!, capacity: $0.count)
                }
                heads.append(Array(head[..<count]))
                unsafe reassembler.writeCompleted(to: room.baseAddress!)
                datagrams.append((unsafe Array(room[..<datagram.byteCount]), frame.time, datagram.fragments))
                reassembler.releaseCompleted(written: true)
                return
            }
        }
    }

    private func drain() {
        while let stamp = reassembler.leaving {
            var bytes = [UInt8](repeating: 0, count: Int(stamp.captured))
            unsafe bytes.withUnsafeMutableBytes {
                unsafe reassembler.copyLeaving(to: $0.baseAddress!, count: Int(stamp.captured))
            }
            passed.append(
                Frame(bytes, time: stamp.time, interface: stamp.interface, original: Int(stamp.original)))
            reassembler.releaseLeaving()
        }
    }

    /// Nothing comes for this long.
    func wait(_ nanoseconds: UInt64) {
        arrival += nanoseconds
        reassembler.idle(until: arrival)
        drain()
    }

    /// The run ends.
    func finish() {
        reassembler.giveUpAll()
        drain()
    }

    /// Frames that wait for others.
    var held: UInt64 { reassembler.heldFrames }

    /// Memory and places in use.
    var usage: (bytes: UInt64, datagrams: UInt64) {
        reassembler.publishGauges()
        return (counters.value(.fragmentBytes), counters.value(.fragmentDatagrams))
    }

    /// Ends the run and checks that every frame that came has left, once: in a datagram, or as it came.
    func expectNothingLost(sourceLocation: SourceLocation = #_sourceLocation) {
        finish()
        #expect(held == 0, sourceLocation: sourceLocation)
        #expect(usage == (0, 0), sourceLocation: sourceLocation)
        let merged = datagrams.reduce(0) { $0 + Int($1.fragments) }
        #expect(sent.count == merged + passed.count, sourceLocation: sourceLocation)
        // What left as it came did come, byte for byte, with its time, lengths and interface.
        var rest = Dictionary(sent.map { ($0, 1) }, uniquingKeysWith: +)
        for frame in passed { rest[frame, default: 0] -= 1 }
        #expect(rest.values.allSatisfy { $0 >= 0 }, "a frame left that had not come", sourceLocation: sourceLocation)
        let unassembled = Counter.allCases.filter { $0.entry.report == "unassembled" }
        let returned = unassembled.reduce(0) { $0 + counters.value($1) }
        #expect(counters.value(.fragments) == UInt64(merged) + returned, sourceLocation: sourceLocation)
        #expect(counters.value(.reassembled) == UInt64(datagrams.count), sourceLocation: sourceLocation)
    }

    /// Counters of what leaves as it came that are not zero, by reason.
    var unassembled: [String: UInt64] {
        var counts: [String: UInt64] = [:]
        for counter in Counter.allCases where counter.entry.report == "unassembled" && counters.value(counter) > 0 {
            counts[counter.entry.reason!] = counters.value(counter)
        }
        return counts
    }
}

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

typealias Sample = DatagramSample
