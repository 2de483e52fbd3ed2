import Machine
import Pcapng
import Reassembly

/// Feeds frames to a reassembler with the least memory there is. It must not crash nor touch memory that is not its own;
/// every frame that goes in must come out once, in a datagram or as it came, byte for byte; and a datagram must be a packet
/// that is no fragment any more, as long as its headers say.
///
/// The first byte chooses the policy, the second the link type. Then frames: a byte that says what is done (the length in
/// units of 8 bytes, and how much time passes), then the frame.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count >= 2 else { return 0 }
    let linkTypes: [UInt16] = [1, 228, 229, 0, 113, 276, 101, 9, 51, 104]
    let policies = OverlapPolicy.allCases
    let linkType = unsafe linkTypes[Int(data[1]) % linkTypes.count]
    var run = FuzzRun(policies[Int(unsafe data[0]) % policies.count], linkType)
    var place = 2
    while place < count {
        let order = unsafe data[place]
        place += 1
        // 7 bits for the length, so that a frame with headers and some data is one byte away.
        let length = min(count - place, Int(order & 0x7F) * 8 + 1)
        if order & 0x80 != 0 { run.time += 5_000_000_000 }
        if length > 0 { unsafe run.send(UnsafeRawBufferPointer(start: data + place, count: length)) }
        place += length
    }
    run.finish()
    return 0
}

/// What a worker does around a reassembler, with every promise checked.
@safe private struct FuzzRun: ~Copyable {
    // Safe because the memory lives as long as the run and is handed to nobody else.
    private var reassembler: Reassembler
    private let memory: UnsafeMutableRawPointer
    private let linkType: UInt16
    var time: UInt64 = 0
    /// A sum over the frames that are inside, that does not depend on their order, and how many they are.
    private var inside: UInt64 = 0
    private var frames = 0

    init(_ policy: OverlapPolicy, _ linkType: UInt16) {
        var settings = ReassemblySettings()
        (settings.policy, settings.memory) = (policy, ReassemblySettings.leastMemory)
        settings.timeout = 20_000_000_000
        // Memory of exactly this size lets the address sanitizer see what goes beyond it.
        unsafe memory = .allocate(byteCount: settings.memory, alignment: 64)
        let counters = Shared.counters
        unsafe reassembler = Reassembler(settings, memory: memory, seed: HashSeed(1, 2, 3, 4), counters: counters)
        self.linkType = linkType
    }

    deinit { unsafe memory.deallocate() }

    mutating func send(_ bytes: UnsafeRawBufferPointer) {
        // Memory of exactly the frame's size, for the same reason.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { unsafe copy.deallocate() }
        unsafe copy.copyBytes(from: bytes)
        let start = UnsafeRawPointer(copy.baseAddress!)
        let captured = UInt32(bytes.count)
        reassembler.advance(stamp: time, arrival: time)
        drain()
        let headers = unsafe FragmentHeaders(start, captured: bytes.count, linkType: linkType)
        if unsafe FragmentHeaders.isSurelyWhole(start, captured: captured, linkType: linkType) {
            precondition(headers == nil, "a fragment was taken for a whole packet")
        }
        guard let headers else { return }
        let stamp = FrameStamp(time: time, interface: 1, captured: captured, original: captured + 1)
        while true {
            let verdict = unsafe reassembler.take(stamp, headers, start, arrival: time)
            drain()
            switch verdict {
            case .makeRoom: continue
            case .pass(let reason): reassembler.countPassed(reason)
            case .held:
                frames += 1
                inside &+= unsafe Self.sum(UnsafeRawBufferPointer(copy))
            case .complete(let datagram): write(datagram)
            }
            break
        }
        precondition(reassembler.heldFrames == frames, "a frame was lost")
    }

    /// Writes a datagram into memory of exactly its size and reads its headers.
    private mutating func write(_ datagram: CompletedDatagram) {
        // Captured headers may be longer than the mended ones by LLC and SNAP.
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: datagram.byteCount, alignment: 4)
        defer { unsafe room.deallocate() }
        unsafe reassembler.writeCompleted(to: room.baseAddress!)
        let headers = unsafe PacketHeaders(room.baseAddress!, captured: datagram.byteCount, linkType: linkType)
        precondition(headers.version != 0 && Int(headers.networkEnd) == datagram.byteCount, "lengths are wrong")
        precondition(!headers.isFragment, "a datagram is still a fragment")
        reassembler.releaseCompleted(written: true)
        frames -= Int(datagram.held)
        // Which frames went into it is not told; the sum begins anew when nothing is inside.
        inside = 0
        hasWritten = frames > 0
    }

    private var hasWritten = false

    private mutating func drain() {
        while let stamp = reassembler.leaving {
            precondition(stamp.interface == 1 && stamp.original == stamp.captured + 1 && stamp.time <= time)
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(stamp.captured), alignment: 1)
            unsafe reassembler.copyLeaving(to: room.baseAddress!, count: Int(stamp.captured))
            inside &-= unsafe Self.sum(UnsafeRawBufferPointer(room))
            unsafe room.deallocate()
            frames -= 1
            reassembler.releaseLeaving()
        }
    }

    mutating func finish() {
        reassembler.giveUpAll()
        drain()
        precondition(reassembler.isEmpty && reassembler.heldFrames == 0 && frames == 0, "a frame stayed behind")
        precondition(hasWritten || inside == 0, "a frame left that is not the one that came")
    }

    /// A hash of a frame's bytes (FNV-1a).
    private static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        for place in 0..<bytes.count { sum = (sum ^ UInt64(unsafe bytes[place])) &* 0x100_0000_01B3 }
        return sum
    }
}

private enum Shared {
    static let counters = try! Counters()
}
