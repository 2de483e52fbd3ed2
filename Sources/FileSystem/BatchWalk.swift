internal import CFuse
import Glibc
import Pcapng
import SpillCache

/// A batch in a cache file, and what its place in a stream that is read newest first goes by.
struct BatchPlace {
    let offset: UInt64
    /// Bytes of the whole batch, its trailer included.
    let length: Int
    let trailer: BatchTrailer
    let greatestInterface: UInt32
    /// Which section of its file it is in, counted from 0.
    let section: Int

    /// Whether this one is older: by last arrival, then run, then number (docs/format.md, "Order").
    func isOlder(than other: BatchPlace) -> Bool {
        let (one, two) = (trailer, other.trailer)
        if one.lastArrival != two.lastArrival { return one.lastArrival < two.lastArrival }
        if one.run != two.run { return (one.run.low, one.run.high) < (two.run.low, two.run.high) }
        return one.number < two.number
    }
}

/// Goes over a cache file from its beginning, checks every batch, and goes on from there when the file has grown.
///
/// What a batch's own checksums do not vouch for is not needed here: the interface list in a batch's trailer vouches for the
/// descriptions before it.
struct BatchWalk {
    /// Up to where the file was looked at, always a block's beginning.
    private(set) var position: UInt64 = 0
    /// What the sections of the file say, as far as they were read.
    private(set) var sections: [RunDescription] = []
    /// Whether the footer was reached, behind which nothing comes.
    private(set) var isAtFooter = false
    /// Whether lengths of blocks make no sense at `position`.
    private(set) var isLost = false
    /// Whole batches that do not check.
    private(set) var damagedBatches = 0
    /// Whether the section header just passed was not followed by what the section is for.
    private var isBehindSectionHeader = false
    /// Whether batches of the present section can be served.
    private var isSectionKnown = false

    private static let windowBytes = 1 << 20
    private static let blockMax = RunDescription.byteLimit + 4096

    init() {}

    /// Goes on behind a place that another reader of the file found to be good.
    init(resumedAt position: UInt64, in section: RunDescription?) {
        self.position = position
        sections = section.map { [$0] } ?? []
        isSectionKnown = section != nil
    }

    /// Looks at what is there up to `size`, and hands on the batches that check.
    mutating func advance(_ file: Int32, size: UInt64, _ take: (BatchPlace) -> Void) throws(Errno) {
        var capacity = Self.windowBytes
        while !isAtFooter && !isLost && position + 8 <= size {
            let before = position
            let window = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
            defer { unsafe window.deallocate() }
            let wanted = Int(min(UInt64(capacity), size - position))
            let count = unsafe spillway_pread(file, window.baseAddress!, wanted, position)
            guard count >= 0 else { throw Errno(errno) }
            unsafe pass(UnsafeRawBufferPointer(rebasing: window[..<count]), take)
            if position > before { continue }
            // Nothing whole was in the window: the file ends here for now, or the batch is larger than the window.
            if position + UInt64(count) >= size { return }
            capacity *= 2
            if capacity > 2 * BatchCheck.byteLimit { isLost = true }
        }
    }

    /// Passes over all that is whole in a window that begins at `position`.
    private mutating func pass(_ window: UnsafeRawBufferPointer, _ take: (BatchPlace) -> Void) {
        var offset = 0
        while !isAtFooter && !isLost && offset + 8 <= window.count {
            let (type, length) = unsafe (Self.word(window, offset), Int(Self.word(window, offset + 4)))
            let end: Int?
            if type == BlockType.enhancedPacket {
                end = unsafe batch(window, offset, take)
            } else if type == BlockType.cacheFooter {
                isAtFooter = true
                end = nil
            } else if length < 12 || length % 4 != 0 || length > Self.blockMax {
                // Nothing at all is space that was not written yet, or a torn tail.
                isLost = type != 0 || length != 0
                end = nil
            } else if offset + length > window.count {
                end = nil
            } else {
                unsafe takeIn(type, Array(window[offset..<offset + length]))
                end = offset + length
            }
            guard let end else { break }
            offset = end
        }
        position += UInt64(offset)
    }

    /// Where the batch that begins at an offset ends; nil if it is not whole in the window.
    private mutating func batch(
        _ window: UnsafeRawBufferPointer, _ start: Int, _ take: (BatchPlace) -> Void
    ) -> Int? {
        var offset = start
        while offset + 8 <= window.count {
            let (type, length) = unsafe (Self.word(window, offset), Int(Self.word(window, offset + 4)))
            guard type == BlockType.enhancedPacket || type == BlockType.batchTrailer, length >= 32, length % 4 == 0,
                offset + length - start <= BatchCheck.byteLimit
            else {
                isLost = true
                return nil
            }
            guard offset + length <= window.count else { return nil }
            offset += length
            guard type == BlockType.batchTrailer else { continue }
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: window[start..<offset])
            if let check = unsafe BatchCheck(bytes.baseAddress!, byteCount: bytes.count), isSectionKnown,
                let section = sections.last, check.trailer.run == section.run,
                section.matches(check.trailer.interfaceCRC, greatest: check.greatestInterface)
            {
                take(
                    BatchPlace(
                        offset: position + UInt64(start), length: bytes.count, trailer: check.trailer,
                        greatestInterface: check.greatestInterface, section: sections.count - 1))
            } else {
                damagedBatches += 1
            }
            return offset
        }
        return nil
    }

    /// A block between batches.
    private mutating func takeIn(_ type: UInt32, _ block: [UInt8]) {
        switch type {
        case BlockType.sectionHeader:
            (isBehindSectionHeader, isSectionKnown) = (true, false)
        case BlockType.cacheHeader where isBehindSectionHeader && block.count >= 36:
            let (low, high) = unsafe block.withUnsafeBytes { bytes in
                unsafe (
                    bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                    bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
                )
            }
            sections.append(RunDescription(run: RunIdentity(low: low, high: high)))
            (isBehindSectionHeader, isSectionKnown) = (false, true)
        case BlockType.interfaceDescription where isSectionKnown:
            isSectionKnown = sections[sections.count - 1].add(interface: block)
        case BlockType.lane where isSectionKnown:
            _ = sections[sections.count - 1].add(lane: block)
        default: break
        }
    }

    private static func word(_ window: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        unsafe window.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }
}
