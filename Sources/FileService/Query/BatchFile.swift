internal import CSending
internal import Pcapng

/// Where the batches of a file lie that was written by Spillway (docs/format.md), found by walking it backwards along the
/// lengths at the blocks' ends: a read of some hundred bytes for each batch, whatever its size.
struct BatchFile {
    /// A part of the file: a batch, or a block between batches.
    struct Part {
        var start: UInt64, end: UInt64
        /// Block type; of a batch, that of its trailer.
        var type: UInt32
        /// Where a batch's records end.
        var recordsEnd: UInt64 = 0
        var least: UInt64 = 0, greatest: UInt64 = 0
    }

    /// In the order of the file.
    private(set) var parts: [Part] = []
    /// Packet times of all batches.
    private(set) var least = UInt64.max, greatest: UInt64 = 0

    /// A batch takes at least so many bytes, and no file that makes sense has more parts than this.
    private static let partsMost = 1 << 22

    /// Nil if the file is not wholly of that kind: written by somebody else, or still being written.
    init?(_ file: OpenFile) {
        guard Self.word(file, at: 0) == BlockType.sectionHeader, Self.word(file, at: 8) == 0x1A2B_3C4D else {
            return nil
        }
        var end = file.length
        var hasBatch = false
        while end > 0 {
            guard parts.count < Self.partsMost, let part = Self.part(file, endingAt: end) else { return nil }
            if part.type == BlockType.batchTrailer {
                hasBatch = true
                least = min(least, part.least)
                greatest = max(greatest, part.greatest)
            }
            parts.append(part)
            end = part.start
        }
        guard hasBatch else { return nil }
        parts.reverse()
    }

    private static func part(_ file: OpenFile, endingAt end: UInt64) -> Part? {
        guard end >= 12, let length = word(file, at: end - 4).map(UInt64.init), length >= 12, length % 4 == 0,
            length <= end, word(file, at: end - length + 4).map(UInt64.init) == length,
            let type = word(file, at: end - length)
        else { return nil }
        var part = Part(start: end - length, end: end, type: type)
        // A record outside any batch: somebody else's file.
        if type == BlockType.enhancedPacket || type == 3 || type == 2 { return nil }
        guard type == BlockType.batchTrailer else { return part }
        guard length == 96, let records = word(file, at: part.start + 48).map(UInt64.init), records <= part.start,
            let least = long(file, at: part.start + 56), let greatest = long(file, at: part.start + 64)
        else { return nil }
        part.recordsEnd = part.start
        part.start -= records
        (part.least, part.greatest) = (least, greatest)
        return part
    }

    private static func word(_ file: OpenFile, at offset: UInt64) -> UInt32? {
        var value: UInt32 = 0
        return unsafe spillway_read_at(file.descriptor, &value, 4, offset) == 4 ? UInt32(littleEndian: value) : nil
    }

    private static func long(_ file: OpenFile, at offset: UInt64) -> UInt64? {
        var value: UInt64 = 0
        return unsafe spillway_read_at(file.descriptor, &value, 8, offset) == 8 ? UInt64(littleEndian: value) : nil
    }
}
