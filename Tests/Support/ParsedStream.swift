/// A stream does not say what docs/format.md says it must.
public struct StreamProblem: Error, CustomStringConvertible {
    /// What is wrong, and at which offset.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// A batch as it was found in a stream.
public struct ParsedBatch: Sendable, Equatable {
    /// The whole batch, its trailer included.
    public var bytes: [UInt8]
    /// Its records.
    public var packets: [SamplePacket]
    /// The run, as its 16 bytes.
    public var run: [UInt8]
    /// The worker.
    public var worker: UInt16
    /// The lane.
    public var lane: UInt16
    /// The number within run, worker and lane.
    public var number: UInt64
    /// First and last arrival.
    public var firstArrival: UInt64, lastArrival: UInt64
    /// Checksum of the interface list.
    public var interfaceCRC: UInt32
}

extension ParsedBatch {
    /// One whole batch outside of its stream: everything is checked that needs nothing but its own bytes.
    public init(_ bytes: [UInt8]) throws {
        let source = ByteReader(bytes)
        let trailer = bytes.count - 96
        guard trailer > 0, source.word(trailer) == 0x8053_5054, source.word(trailer + 48) == UInt32(trailer),
            source.word(trailer + 88) == referenceCRC32C(bytes[..<(trailer + 88)])
        else { throw StreamProblem("a batch that is not whole") }
        var packets: [SamplePacket] = []
        var offset = 0
        while offset < trailer {
            let (length, captured) = (Int(source.word(offset + 4)), Int(source.word(offset + 20)))
            let plain = 32 + (captured + 3) / 4 * 4
            guard source.word(offset) == 6, offset + length <= trailer,
                length == plain || length > plain && isComment(source, offset + plain - 4, length - plain)
            else {
                throw StreamProblem("a record of \(length) bytes with \(captured) captured")
            }
            packets.append(
                SamplePacket(
                    time: UInt64(source.word(offset + 12)) << 32 | UInt64(source.word(offset + 16)),
                    original: source.word(offset + 24), interface: source.word(offset + 8),
                    bytes: Array(bytes[(offset + 28)..<(offset + 28 + captured)])))
            offset += length
        }
        guard source.word(trailer + 40) == UInt32(packets.count) else {
            throw StreamProblem("another count of packets")
        }
        self.init(
            bytes: bytes, packets: packets, run: Array(bytes[(trailer + 16)..<(trailer + 32)]),
            worker: source.half(trailer + 12), lane: source.half(trailer + 14), number: source.long(trailer + 32),
            firstArrival: source.long(trailer + 72), lastArrival: source.long(trailer + 80),
            interfaceCRC: source.word(trailer + 52))
    }
}

extension ParsedBatch {
    /// Lets go of what is beyond so many bytes of each packet, and of all of the whole but the trailer.
    mutating func keep(atMost most: Int) {
        bytes = Array(bytes.suffix(96))
        for place in packets.indices { packets[place].bytes = Array(packets[place].bytes.prefix(most)) }
    }
}

/// Whether options are the one comment that a datagram made from fragments has: code 1, a text, and the end of options.
private func isComment(_ source: ByteReader, _ place: Int, _ length: Int) -> Bool {
    source.half(place) == 1 && length == 4 + (Int(source.half(place + 2)) + 3) / 4 * 4 + 4
        && source.word(place + length - 4) == 0
}

/// An interface description as it was found in a stream.
public struct ParsedInterface: Sendable, Equatable {
    /// The link type.
    public var linkType: UInt16
    /// All options by code; one value each.
    public var options: [UInt16: [UInt8]]
    /// The option if_name.
    public var name: String? { options[2].map { String(decoding: $0, as: UTF8.self) } }
}

/// One part of a stream.
public enum StreamItem: Sendable, Equatable {
    /// A section header.
    case section(options: [UInt16: [UInt8]])
    /// An interface description.
    case interface(ParsedInterface)
    /// A lane block.
    case lane(number: UInt16, kind: UInt16, run: [UInt8], name: String)
    /// Interface statistics.
    case statistics(interface: UInt32, options: [UInt16: [UInt8]])
    /// A batch.
    case batch(ParsedBatch)
    /// A control block of acknowledged delivery.
    case control(ControlMessage)
}

/// What one connection or file carried, taken apart by docs/format.md and nothing else.
public struct ParsedStream: Sendable {
    /// The parts in their order.
    public private(set) var items: [StreamItem] = []
    /// Bytes at the end that are no whole block or belong to a batch without its trailer.
    public private(set) var rest = 0

    /// The batches in their order.
    public var batches: [ParsedBatch] {
        items.compactMap { if case .batch(let batch) = $0 { batch } else { nil } }
    }
    /// The packets in their order.
    public var packets: [SamplePacket] { batches.flatMap(\.packets) }
    /// The interfaces in their order.
    public var interfaces: [ParsedInterface] {
        items.compactMap { if case .interface(let interface) = $0 { interface } else { nil } }
    }
    /// The control blocks in their order.
    public var controls: [ControlMessage] {
        items.compactMap { if case .control(let message) = $0 { message } else { nil } }
    }
    /// The interfaces of the statistics blocks in their order.
    public var statistics: [UInt32] {
        items.compactMap { if case .statistics(let interface, _) = $0 { interface } else { nil } }
    }

    /// Takes a stream apart and checks everything the format promises about it.
    public init(_ bytes: [UInt8]) throws {
        let source = ByteReader(bytes)
        var open = OpenBatch()
        var state = StreamState()
        var offset = 0
        while offset + 12 <= bytes.count {
            let length = Int(source.word(offset + 4))
            guard length >= 12, length % 4 == 0 else { throw StreamProblem("offset \(offset): length \(length)") }
            guard offset + length <= bytes.count else { break }
            guard source.word(offset + length - 4) == UInt32(length) else {
                throw StreamProblem("offset \(offset): the lengths differ")
            }
            let block = ParsedBlock(source: source, offset: offset, length: length)
            offset += length
            if block.type == 6 {
                try open.add(block, interfaces: state.interfaceCRCs.count)
            } else if block.type == 0x8053_5054 {
                items.append(.batch(try open.close(block, state)))
            } else {
                guard open.packets.isEmpty else { throw StreamProblem("block \(block.type) inside a batch") }
                items.append(try state.item(block))
            }
        }
        rest = bytes.count - (open.packets.isEmpty ? offset : open.start)
    }
}

/// What later blocks of a stream refer to.
private struct StreamState {
    var hasSection = false
    private var interfaceBytes: [UInt8] = []
    /// For each interface the checksum of the descriptions up to its own.
    var interfaceCRCs: [UInt32] = []
    var lanes: Set<UInt16> = []

    mutating func item(_ block: ParsedBlock) throws -> StreamItem {
        if block.type == 0x0a0d_0d0a {
            guard !hasSection else { throw StreamProblem("a second section header") }
            hasSection = true
            guard block.source.word(block.offset + 8) == 0x1a2b_3c4d, block.half(12) == 1, block.half(14) == 0,
                block.long(16) == .max
            else { throw StreamProblem("the section header is another one than format.md's") }
            return .section(options: try block.options(24))
        }
        guard hasSection else { throw StreamProblem("block \(block.type) before the section header") }
        switch block.type {
        case 1:
            let interface = ParsedInterface(linkType: block.half(8), options: try block.options(16))
            guard block.word(12) == 262_144, interface.options[9] == [9], block.half(10) == 0 else {
                throw StreamProblem("an interface with another snapshot length or resolution")
            }
            interfaceBytes += block.bytes
            interfaceCRCs.append(referenceCRC32C(interfaceBytes))
            return .interface(interface)
        case 5:
            let interface = block.word(8)
            guard interface < UInt32(interfaceCRCs.count) else {
                throw StreamProblem("statistics before the interface")
            }
            return .statistics(interface: interface, options: try block.options(20))
        case 0x8053_504c:
            let count = Int(block.half(14))
            guard block.half(8) == 1, block.length == 32 + (count + 3) / 4 * 4 + 4 else {
                throw StreamProblem("a lane block of another form")
            }
            lanes.insert(block.half(10))
            return .lane(
                number: block.half(10), kind: block.half(12), run: Array(block.bytes[16..<32]),
                name: String(decoding: block.bytes[32..<32 + count], as: UTF8.self))
        default:
            guard let message = try ControlMessage(block.bytes) else {
                throw StreamProblem("a block of type \(block.type)")
            }
            return .control(message)
        }
    }
}

/// Records whose trailer has not come yet.
private struct OpenBatch {
    var start = 0
    var packets: [SamplePacket] = []
    private var greatestInterface: UInt32 = 0

    mutating func add(_ block: ParsedBlock, interfaces: Int) throws {
        let captured = Int(block.word(20))
        let interface = block.word(8)
        guard interface < UInt32(interfaces) else { throw StreamProblem("interface \(interface) was not described") }
        let plain = 32 + (captured + 3) / 4 * 4
        guard captured <= 262_144,
            block.length == plain
                || block.length > plain && isComment(block.source, block.offset + plain - 4, block.length - plain)
        else {
            throw StreamProblem("a record of \(block.length) bytes with \(captured) captured")
        }
        let bytes = block.source.bytes
        guard bytes[(block.offset + 28 + captured)..<(block.offset + plain - 4)].allSatisfy({ $0 == 0 })
        else {
            throw StreamProblem("padding that is not zero")
        }
        if packets.isEmpty { start = block.offset }
        greatestInterface = max(greatestInterface, interface)
        packets.append(
            SamplePacket(
                time: UInt64(block.word(12)) << 32 | UInt64(block.word(16)), original: block.word(24),
                interface: interface, bytes: Array(bytes[(block.offset + 28)..<(block.offset + 28 + captured)])))
    }

    mutating func close(_ trailer: ParsedBlock, _ state: StreamState) throws -> ParsedBatch {
        let records = trailer.offset - start
        let bytes = Array(trailer.source.bytes[start..<trailer.offset + trailer.length])
        func check(_ condition: Bool, _ what: String) throws {
            if !condition { throw StreamProblem("trailer at \(trailer.offset): \(what)") }
        }
        try check(trailer.length == 96 && trailer.half(8) == 1 && trailer.half(10) == 0, "its form")
        try check(!packets.isEmpty && trailer.word(40) == UInt32(packets.count), "the packets")
        try check(trailer.word(48) == UInt32(records), "the record bytes")
        try check(trailer.long(56) == packets.map(\.time).min(), "the least time")
        try check(trailer.long(64) == packets.map(\.time).max(), "the greatest time")
        try check(trailer.long(72) <= trailer.long(80), "the arrivals")
        try check(trailer.word(88) == referenceCRC32C(bytes[..<(records + 88)]), "the checksum")
        try check(state.lanes.contains(trailer.half(14)), "its lane was not announced")
        let crc = trailer.word(52)
        try check(state.interfaceCRCs[Int(greatestInterface)...].contains(crc), "the checksum of the interface list")
        defer { (packets, greatestInterface) = ([], 0) }
        return ParsedBatch(
            bytes: bytes, packets: packets, run: Array(trailer.bytes[16..<32]), worker: trailer.half(12),
            lane: trailer.half(14), number: trailer.long(32), firstArrival: trailer.long(72),
            lastArrival: trailer.long(80), interfaceCRC: crc)
    }
}

/// Little-endian numbers in a list of bytes.
public struct ByteReader: Sendable {
    /// The list.
    public let bytes: [UInt8]

    /// A reader of this list.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The 16-bit number at an offset.
    public func half(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 }
    /// The 32-bit number at an offset.
    public func word(_ offset: Int) -> UInt32 { UInt32(half(offset)) | UInt32(half(offset + 2)) << 16 }
    /// The 64-bit number at an offset.
    public func long(_ offset: Int) -> UInt64 { UInt64(word(offset)) | UInt64(word(offset + 4)) << 32 }
}

/// One whole block; offsets count from its start.
private struct ParsedBlock {
    let source: ByteReader
    let offset: Int
    let length: Int

    var type: UInt32 { source.word(offset) }
    var bytes: [UInt8] { Array(source.bytes[offset..<offset + length]) }
    func half(_ place: Int) -> UInt16 { source.half(offset + place) }
    func word(_ place: Int) -> UInt32 { source.word(offset + place) }
    func long(_ place: Int) -> UInt64 { source.long(offset + place) }

    func options(_ place: Int) throws -> [UInt16: [UInt8]] {
        var result: [UInt16: [UInt8]] = [:]
        var place = place
        while place + 4 <= length - 4, half(place) != 0 {
            let count = Int(half(place + 2))
            guard place + 4 + count <= length - 4 else { throw StreamProblem("an option leaves its block") }
            result[half(place)] = Array(source.bytes[(offset + place + 4)..<(offset + place + 4 + count)])
            place += 4 + (count + 3) / 4 * 4
        }
        guard place + 4 == length - 4 else { throw StreamProblem("options that do not end with their end") }
        return result
    }
}

/// CRC32C from its definition (RFC 3720, 12.1), one bit at a time for every byte value and then by that table.
public func referenceCRC32C(_ bytes: some Collection<UInt8>) -> UInt32 {
    // Plain pointers and loops, because tests are built without optimisation.
    unsafe crcTable.withUnsafeBufferPointer { table in
        let crc = bytes.withContiguousStorageIfAvailable { source in
            var crc = UInt32.max
            var place = 0
            while place < source.count {
                unsafe crc = crc >> 8 ^ table[Int((crc ^ UInt32(source[place])) & 0xff)]
                place += 1
            }
            return ~crc
        }
        return crc ?? referenceCRC32C(Array(bytes))
    }
}

private let crcTable: [UInt32] = (0..<256).map { value in
    (0..<8).reduce(UInt32(value)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
}
