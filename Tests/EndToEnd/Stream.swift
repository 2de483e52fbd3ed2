import TestSupport
import Testing

/// A pcapng stream of the relay, taken apart by the test itself from the bytes docs/format.md gives. Only whole blocks
/// are looked at.
struct Stream {
    /// A batch: its trailer's identity and the packets before it.
    struct Batch {
        let number: UInt64
        let run: [UInt8]
        let worker: UInt16
        let lastArrival: UInt64
        let packets: [Packet]
    }

    /// An Interface Statistics Block: its interface and its counts by option code.
    struct Statistics {
        let interface: UInt32
        let values: [UInt16: UInt64]
    }

    /// Packets of whole batches and of the batch that has no trailer yet, in the order of the stream.
    private(set) var packets: [Packet] = []
    private(set) var batches: [Batch] = []
    /// Names of the interfaces.
    private(set) var interfaces: [String] = []
    private(set) var linkTypes: [UInt16] = []
    private(set) var statistics: [Statistics] = []
    private(set) var sections = 0
    /// Bytes behind the last whole block.
    private(set) var rest = 0
    /// For each packet the interface it names.
    private(set) var packetInterfaces: [UInt32] = []
    /// For each packet from how many frames it was made, as its comment says.
    private(set) var fragments: [Int] = []
    private var open: [Packet] = []
    private var openFrames = 0

    init(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset + 12 <= bytes.count {
            let length = Int(bytes.word(offset + 4))
            guard length >= 12, length % 4 == 0 else { throw Unexpected("a block of \(length) bytes at \(offset)") }
            guard offset + length <= bytes.count else { break }
            guard bytes.word(offset + length - 4) == length else {
                throw Unexpected("a block at \(offset) whose lengths differ")
            }
            try add(Array(bytes[offset..<offset + length]))
            offset += length
        }
        rest = bytes.count - offset
        guard bytes.isEmpty || bytes.count < 12 || sections == 1 else { throw Unexpected("\(sections) sections") }
    }

    private mutating func add(_ block: [UInt8]) throws {
        switch block.word(0) {
        case 0x0a0d_0d0a: sections += 1
        case 1:
            linkTypes.append(block.short(8))
            #expect(block.word(12) == 262_144)
            let options = Self.options(block, from: 16)
            #expect(options[9] == [9])
            interfaces.append(String(decoding: options[2] ?? [], as: UTF8.self))
        case 6: try addPacket(block)
        case 5:
            let values = Self.options(block, from: 20).filter { $0.value.count == 8 && $0.key > 3 }
            statistics.append(Statistics(interface: block.word(8), values: values.mapValues { $0.long(0) }))
        case 0x8053_5054: try addTrailer(block)
        case 0x8053_504c: #expect(open.isEmpty)
        default: throw Unexpected("a block of type \(String(block.word(0), radix: 16))")
        }
    }

    private mutating func addPacket(_ block: [UInt8]) throws {
        let (interface, captured) = (block.word(8), Int(block.word(20)))
        let end = 28 + (captured + 3) / 4 * 4
        guard interface < interfaces.count, block.count >= end + 4 else {
            throw Unexpected("a record of \(captured) bytes from interface \(interface)")
        }
        fragments.append(try Self.fragments(block, end))
        openFrames += fragments[fragments.count - 1]
        let packet = Packet(
            time: UInt64(block.word(12)) << 32 | UInt64(block.word(16)), original: block.word(24),
            bytes: Array(block[28..<28 + captured]))
        packets.append(packet)
        packetInterfaces.append(interface)
        open.append(packet)
    }

    /// A record has no options, or one comment of a certain form.
    private static func fragments(_ block: [UInt8], _ end: Int) throws -> Int {
        if block.count == end + 4 { return 1 }
        let options = Self.options(block, from: end)
        let words = String(decoding: options[1] ?? [], as: UTF8.self).split(separator: " ")
        let length = ((options[1]?.count ?? 0) + 3) / 4 * 4
        guard options.count == 1, block.count == end + 4 + length + 4 + 4, block.word(end + 4 + length) == 0,
            words.count == 4, words[0] == "reassembled", words[1] == "from", words[3] == "fragments",
            let count = Int(words[2]), count > 1
        else { throw Unexpected("a record with the options \(options)") }
        return count
    }

    private mutating func addTrailer(_ block: [UInt8]) throws {
        #expect(Int(block.word(44)) == openFrames, "source frames")
        openFrames = 0
        guard block.count == 96, block.short(8) == 1, Int(block.word(40)) == open.count else {
            throw Unexpected("a trailer of \(block.word(40)) packets behind \(open.count)")
        }
        #expect(block.long(56) == open.map(\.time).min() && block.long(64) == open.map(\.time).max())
        #expect(block.long(72) <= block.long(80))
        batches.append(
            Batch(
                number: block.long(32), run: Array(block[16..<32]), worker: block.short(12),
                lastArrival: block.long(80), packets: open))
        open = []
    }

    private static func options(_ block: [UInt8], from start: Int) -> [UInt16: [UInt8]] {
        var options: [UInt16: [UInt8]] = [:]
        var offset = start
        while offset + 4 <= block.count - 4, block.short(offset) != 0 {
            let length = Int(block.short(offset + 2))
            options[block.short(offset)] = Array(block[offset + 4..<offset + 4 + length])
            offset += 4 + (length + 3) / 4 * 4
        }
        return options
    }
}
