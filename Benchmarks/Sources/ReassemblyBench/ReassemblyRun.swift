import Machine
import Pcapng
import Reassembly
import SegmentPool

/// A worker's reassembler and batch writer, whose full segments come back at once, and frames to feed them with.
@safe struct ReassemblyRun: ~Copyable {
    // Safe because all memory here lives as long as the process and only this program's one thread uses it.
    private var reassembler: Reassembler
    private var writer: BatchWriter
    private var free: RingProducer<UInt32>
    private let counters: Counters
    private let frames: UnsafeMutableRawPointer
    private let whole: UnsafeMutableRawPointer
    private let lengths: UnsafeMutablePointer<UInt32>
    private let target: UnsafeMutableRawPointer
    private let fragments: Int
    private let together: Int
    private let size: Int
    private var identification: UInt32 = 0
    /// As in the worker: whether there may be unfinished datagrams.
    private var mayHold = false
    private var time: UInt64 = 1_700_000_000_000_000_000

    private static var segments: Int { @_noLocks get { 64 } }
    /// Datagrams whose frames lie ready; they come round and round, and do not stay in the nearest cache.
    private static var turn: Int { @_noLocks get { 1024 } }
    /// Frames of 2048 bytes of whole packets, as in a receive ring.
    private static var wholeFrames: Int { @_noLocks get { 4096 } }

    init(fragments: Int, size: Int, together: Int) throws(SystemError) {
        let pool = try SegmentPool(segmentBytes: 2 << 20, count: Self.segments, pages: .auto, node: nil)
        let ring = try SPSCRing<UInt32>(capacity: 2 * Self.segments)
        let registry = try InterfaceRegistry()
        _ = registry.register(StreamBlocks.interface(InterfaceLabel(linkType: 1)))
        let counted = try Counters()
        let wake = try WakeSignal()
        let settings = ReassemblySettings()
        let memory = try MemoryRegion(byteCount: settings.memory, pages: .auto)
        let areas = try (
            MemoryRegion(byteCount: fragments * Self.turn * 2048, pages: .auto),
            MemoryRegion(byteCount: Self.wholeFrames * 2048, pages: .auto),
            MemoryRegion(byteCount: 4 << 20, pages: .auto)
        )
        (self.fragments, self.size, self.together) = (fragments, size, together)
        counters = counted
        unsafe reassembler = Reassembler(settings, memory: memory.base, seed: .random(), counters: counted)
        writer = BatchWriter(
            pool: pool, free: ring.makeConsumer(), limits: BatchLimits(time: .max), run: RunIdentity(low: 1, high: 2),
            worker: 0, interfaces: registry.view, counters: counted, wake: wake)
        free = ring.makeProducer()
        unsafe (frames, whole, target) = (areas.0.base, areas.1.base, areas.2.base)
        unsafe lengths = .allocate(capacity: fragments)
        let data = (size - 34) & ~7
        for number in 0..<fragments {
            unsafe lengths[number] = UInt32(34 + data)
            for place in 0..<Self.turn {
                let frame = unsafe frames + (place * fragments + number) * 2048
                unsafe Self.write(
                    frame, data: data, offset: number * data, more: number + 1 < fragments, place: place % together)
            }
        }
        for place in 0..<Self.wholeFrames {
            unsafe Self.write(whole + place * 2048, data: data, offset: 0, more: false, place: place)
        }
    }

    /// An Ethernet frame with an IPv4 packet.
    private static func write(_ frame: UnsafeMutableRawPointer, data: Int, offset: Int, more: Bool, place: Int) {
        unsafe frame.initializeMemory(as: UInt8.self, repeating: UInt8(place & 255), count: 2048)
        func store(_ value: UInt16, _ position: Int) {
            unsafe frame.storeBytes(of: value.bigEndian, toByteOffset: position, as: UInt16.self)
        }
        store(0x0800, 12)
        store(0x4500, 14)
        store(UInt16(20 + data), 16)
        store(UInt16(offset / 8) | (more ? 0x2000 : 0), 20)
        store(0x4011, 22)
        store(0x0A00, 26)
        store(UInt16(place), 28)
        store(0x0A01, 30)
        store(UInt16(place), 32)
    }

    /// Datagrams made so far.
    var made: UInt64 { counters.value(.reassembled) }

    /// Gives all segments to the writer, which has sealed the last of them.
    @_noLocks private mutating func refill() {
        var segment = 0
        while segment < Self.segments {
            precondition(free.push(UInt32(truncatingIfNeeded: segment)), "the ring has room for all segments")
            segment &+= 1
        }
        free.publish()
    }

    /// So many datagrams of one kind of traffic, or as many packets as they would be.
    mutating func pass(_ datagrams: Int, _ traffic: String, intoMemory: Bool) {
        switch traffic {
        case "off": passWhole(datagrams * fragments, looking: false)
        case "whole": passWhole(datagrams * fragments, looking: true)
        default: reassemble(datagrams, intoMemory: intoMemory)
        }
    }

    /// Encodes whole packets, looking for fragments among them or not.
    @_noLocks @inline(never)
    mutating func passWhole(_ packets: Int, looking: Bool) {
        let length = unsafe lengths[0]
        var number = 0
        while number < packets {
            let frame = unsafe UnsafeRawPointer(whole + (number & (Self.wholeFrames - 1)) * 2048)
            time &+= 100
            if looking {
                if mayHold { return }
                if unsafe !FragmentHeaders.isSurelyWhole(frame, captured: length, linkType: 1) { return }
            }
            while unsafe !writer.append(
                time: time, arrival: time, interface: 0, bytes: frame, captured: length, original: length)
            {
                refill()
            }
            number &+= 1
        }
        writer.flush()
    }

    /// Sends datagrams in fragments, some of them together: first all their first fragments, then all their second ones.
    @_noLocks @inline(never)
    mutating func reassemble(_ datagrams: Int, intoMemory: Bool) {
        var done = 0
        while done < datagrams {
            var number = 0
            while number < fragments {
                var place = 0
                while place < together {
                    let datagram = (done &+ place) & (Self.turn &- 1)
                    let frame = unsafe frames + (datagram &* fragments &+ number) &* 2048
                    let name = UInt16(truncatingIfNeeded: identification &+ UInt32(truncatingIfNeeded: place))
                    unsafe frame.storeBytes(of: name, toByteOffset: 18, as: UInt16.self)
                    unsafe take(frame, lengths[number], intoMemory)
                    place &+= 1
                }
                number &+= 1
            }
            identification &+= UInt32(truncatingIfNeeded: together)
            done &+= together
        }
        writer.flush()
    }

    @_noLocks @inline(__always)
    private mutating func take(_ frame: UnsafeMutableRawPointer, _ length: UInt32, _ intoMemory: Bool) {
        let frame = UnsafeRawPointer(frame)
        time &+= 100
        if mayHold {
            reassembler.advance(stamp: time, arrival: time)
            mayHold = !reassembler.isEmpty
        }
        if unsafe FragmentHeaders.isSurelyWhole(frame, captured: length, linkType: 1) { return }
        guard let headers = unsafe FragmentHeaders(frame, captured: Int(length), linkType: 1) else { return }
        mayHold = true
        let stamp = FrameStamp(time: time, interface: 0, captured: length, original: length)
        guard case .complete(let datagram) = unsafe reassembler.take(stamp, headers, frame, arrival: time) else {
            if !intoMemory { writer.anticipate(from: Int(headers.offset), count: Int(length)) }
            return
        }
        if intoMemory {
            // Where the datagrams go changes, as it does in a segment.
            unsafe reassembler.writeCompleted(to: target + Int(identification & 31) << 17)
        } else {
            while true {
                if let room = unsafe writer.reserve(captured: datagram.byteCount, fragments: datagram.fragments) {
                    unsafe reassembler.writeCompleted(to: room)
                    break
                }
                refill()
            }
            let total = UInt32(truncatingIfNeeded: datagram.byteCount)
            writer.commit(
                time: time, arrival: time, interface: 0, captured: total, original: total, fragments: datagram.fragments
            )
        }
        reassembler.releaseCompleted(written: true)
    }
}
