internal import CSending
internal import Pcapng

/// Finds the batches in a piece of a file by walking it backwards along the lengths at the blocks' ends: a read of some
/// hundred bytes for each batch, whatever its size.
enum BatchWalk {
    /// A part of the file: a batch, or a block between batches.
    struct Part: Equatable {
        var start: UInt64, end: UInt64
        /// Block type; of a batch, that of its trailer.
        var type: UInt32
        /// Where a batch's records end.
        var recordsEnd: UInt64 = 0
        /// Packet times of a batch.
        var least: UInt64 = 0, greatest: UInt64 = 0
        /// Lane of a batch, or of a lane block.
        var lane: UInt16 = 0
        /// Checksum of the interfaces that a batch may refer to.
        var interfaces: UInt32 = 0
    }

    /// What a piece is made of.
    enum Result {
        /// Blocks and batches without a gap, in the order of the file.
        case parts([Part])
        /// Records that belong to no batch: somebody else's file.
        case foreign
        /// What stands there is no block. At the end of a file it may become one: somebody is writing.
        case torn
    }

    /// No piece that makes sense has more parts than this.
    private static let partsMost = 1 << 22

    /// Looks at a piece that begins and ends where blocks do.
    static func parts(of file: OpenFile, _ piece: Range<UInt64>) -> Result {
        var parts: [Part] = []
        var end = piece.upperBound
        while end > piece.lowerBound {
            guard parts.count < partsMost, let part = part(file, endingAt: end), part.start >= piece.lowerBound else {
                return .torn
            }
            if part.type == BlockType.enhancedPacket || part.type == simplePacket || part.type == oldPacket {
                return .foreign
            }
            parts.append(part)
            end = part.start
        }
        parts.reverse()
        return .parts(parts)
    }

    /// Types of packet blocks that nobody writes any more, or nearly nobody.
    private static let oldPacket: UInt32 = 2, simplePacket: UInt32 = 3

    private static func part(_ file: OpenFile, endingAt end: UInt64) -> Part? {
        guard end >= 12, let length = word(file, at: end - 4).map(UInt64.init), length >= 12, length % 4 == 0,
            length <= end, word(file, at: end - length + 4).map(UInt64.init) == length,
            let type = word(file, at: end - length)
        else { return nil }
        var part = Part(start: end - length, end: end, type: type)
        if type == BlockType.lane {
            part.lane = UInt16(truncatingIfNeeded: (word(file, at: part.start + 8) ?? 0) >> 16)
        }
        guard type == BlockType.batchTrailer else { return part }
        var trailer = InlineArray<96, UInt8>(repeating: 0)
        var span = trailer.mutableSpan
        let got = unsafe span.withUnsafeMutableBytes {
            unsafe spillway_read_at(file.descriptor, $0.baseAddress!, 96, part.start)
        }
        guard length == 96, got == 96 else { return nil }
        let read = unsafe trailer.span.withUnsafeBytes { unsafe BatchTrailer(reading: $0.baseAddress!) }
        guard UInt64(read.recordBytes) <= part.start else { return nil }
        part.recordsEnd = part.start
        part.start -= UInt64(read.recordBytes)
        (part.least, part.greatest) = (read.leastTime, read.greatestTime)
        (part.lane, part.interfaces) = (read.lane, read.interfaceCRC)
        return part
    }

    static func word(_ file: OpenFile, at offset: UInt64) -> UInt32? {
        var value: UInt32 = 0
        return unsafe spillway_read_at(file.descriptor, &value, 4, offset) == 4 ? UInt32(littleEndian: value) : nil
    }
}
