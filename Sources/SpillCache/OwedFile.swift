internal import Pcapng

/// What is written beside a cache file: which of its batches each destination is still owed (docs/format.md). What is missing
/// here, or lost, is owed: it is only sent once more.
public struct OwedFile: Sendable, Equatable {
    /// One destination.
    public struct Destination: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Packets of the batches that are owed, of those that `batches` counts.
        public var packets: UInt64
        /// A bit for each batch, the first one least; what is behind the end is owed.
        public var bits: [UInt64]

        /// A destination's part.
        public init(name: String, packets: UInt64, bits: [UInt64]) {
            (self.name, self.packets, self.bits) = (name, packets, bits)
        }

        /// What is owed when only these batches are good: all of them, where their places before cannot be told.
        public func among(_ good: [DiskBatch], from ordinals: [UInt32]?) -> Destination {
            var left = Destination(name: name, packets: 0, bits: [])
            for (place, batch) in good.enumerated() {
                if let before = ordinals?[place], !isOwed(before) { continue }
                left.add(UInt32(place))
                left.packets += UInt64(batch.packets)
            }
            return left
        }

        /// Whether a batch is owed, of those that `batches` counts.
        func isOwed(_ ordinal: UInt32) -> Bool {
            let word = Int(ordinal >> 6)
            return word < bits.count && bits[word] >> UInt64(ordinal & 63) & 1 == 1
        }

        /// One more batch is owed.
        public mutating func add(_ ordinal: UInt32) {
            let word = Int(ordinal >> 6)
            while bits.count <= word { bits.append(0) }
            bits[word] |= 1 << UInt64(ordinal & 63)
        }
    }

    static let magic: UInt32 = 0x4f53_5053
    static let version: UInt16 = 1

    /// Batches and packets that the file had when this was written; later ones are owed to all of these destinations.
    public var batches: UInt32, packets: UInt64
    /// The destinations; one that is not here is owed nothing in this file.
    public var destinations: [Destination]

    /// From its parts.
    public init(batches: UInt32, packets: UInt64, destinations: [Destination]) {
        (self.batches, self.packets, self.destinations) = (batches, packets, destinations)
    }

    /// Nothing is known of the file, but who is owed all of it.
    init(nothingTo names: [String]) {
        self.init(
            batches: 0, packets: 0, destinations: names.map { Destination(name: $0, packets: 0, bits: []) })
    }

    /// The part of a destination, nil if it is owed nothing.
    public func part(of name: String) -> Destination? { destinations.first { $0.name == name } }

    /// Speaks of a whole file: what came later is owed to all named here.
    mutating func owe(batches count: UInt32, packets all: UInt64) {
        guard batches < count else { return }
        for place in destinations.indices {
            for ordinal in batches..<count { destinations[place].add(ordinal) }
            destinations[place].packets += all - min(packets, all)
        }
        (batches, packets) = (count, all)
    }

    /// The batches have other places now: the destinations named here are owed all there are.
    mutating func forgetPlaces() {
        (batches, packets) = (0, 0)
        for place in destinations.indices { (destinations[place].packets, destinations[place].bits) = (0, []) }
    }

    /// Only the first batches are left, with so many packets each.
    mutating func cut(to counts: [UInt32]) {
        guard Int(batches) > counts.count else { return }
        (batches, packets) = (UInt32(counts.count), counts.reduce(0) { $0 + UInt64($1) })
        for place in destinations.indices {
            let before = destinations[place]
            (destinations[place].packets, destinations[place].bits) = (0, [])
            for (ordinal, packets) in counts.enumerated() where before.isOwed(UInt32(ordinal)) {
                destinations[place].add(UInt32(ordinal))
                destinations[place].packets += UInt64(packets)
            }
        }
    }

    /// A batch as it was found in the file.
    struct FoundBatch {
        var packets: UInt32
        /// Whose share it is; nil where it is everybody's.
        var owner: String?
    }

    /// Speaks of all batches that were found: those that came later are owed to whose share they are, or to all named here.
    mutating func complete(_ all: [FoundBatch]) {
        guard Int(batches) <= all.count else { return }
        for owner in Set(all[Int(batches)...].compactMap(\.owner)).sorted() where part(of: owner) == nil {
            destinations.append(Destination(name: owner, packets: 0, bits: []))
        }
        for ordinal in Int(batches)..<all.count {
            for place in destinations.indices
            where all[ordinal].owner ?? destinations[place].name == destinations[place].name {
                destinations[place].packets += UInt64(all[ordinal].packets)
                destinations[place].add(UInt32(ordinal))
            }
        }
        (batches, packets) = (UInt32(all.count), all.reduce(0) { $0 + UInt64($1.packets) })
    }

    /// The name of the file beside a cache file.
    public static func name(of file: CacheFileName) -> String { String(file.sealed.dropLast(7)) + ".owed" }

    /// The file's content.
    public var bytes: [UInt8] {
        var out = BlockBuilder()
        out.append(Self.magic)
        out.append(Self.version)
        out.append(UInt16(destinations.count))
        out.append(batches)
        out.append(UInt32(0))
        out.append(packets)
        for one in destinations {
            out.append(text: one.name)
            out.append(one.packets)
            out.append(UInt16(one.bits.count))
            for word in one.bits { out.append(word) }
        }
        out.append(ByteSource.checksum(out.bytes))
        return out.bytes
    }

    /// From the file's content.
    public init(_ bytes: [UInt8]) throws(FormatFault) {
        var source = try ByteSource(checked: bytes, magic: Self.magic, version: Self.version)
        let count: UInt16 = try source.number()
        batches = try source.number()
        let _: UInt32 = try source.number()
        packets = try source.number()
        destinations = []
        for _ in 0..<count {
            let name = try source.text()
            let packets: UInt64 = try source.number()
            let words: UInt16 = try source.number()
            guard words <= Catalogue.batchesPerFile / 64 else { throw FormatFault("too many batches") }
            var bits: [UInt64] = []
            for _ in 0..<words { bits.append(try source.number()) }
            destinations.append(Destination(name: name, packets: packets, bits: bits))
        }
        guard isSound else { throw FormatFault("it contradicts itself") }
    }
}
