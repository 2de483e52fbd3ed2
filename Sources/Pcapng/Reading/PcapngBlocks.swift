/// Block types that are read but never written.
extension BlockType {
    /// The predecessor of the enhanced packet block.
    static var obsoletePacket: UInt32 { @_noLocks get { 2 } }
    static var simplePacket: UInt32 { @_noLocks get { 3 } }
}

/// Sizes of the fixed parts of pcapng blocks (draft-ietf-opsawg-pcapng).
enum BlockSize {
    /// Type and length before the body, length after it.
    static var header: Int { @_noLocks get { 8 } }
    static var trailer: Int { @_noLocks get { 4 } }
    /// A block without a body.
    static var least: UInt32 { @_noLocks get { 12 } }
    /// The fixed part of an enhanced or an obsolete packet block, before the packet's bytes.
    static var packetHeader: Int { @_noLocks get { 28 } }
    static var simplePacketHeader: Int { @_noLocks get { 12 } }
    static var interfaceHeader: Int { @_noLocks get { 16 } }
    static var sectionHeader: Int { @_noLocks get { 24 } }
}

/// pcapng: blocks, each with its length at both ends.
extension CaptureFileParser {
    @_noLocks @inline(__always)
    mutating func block(_ input: borrowing InputWindow) -> ParserEvent {
        guard input.count >= 12 else { return shortage(input, needing: 12, or: .truncatedBlock) }
        let type = input.word(at: 0)
        if type == BlockType.enhancedPacket { return packetBlock(input, number: input.word(at: 8)) }
        return otherBlock(input, type: type)
    }

    @_noLocks @inline(never)
    private mutating func otherBlock(_ input: borrowing InputWindow, type: UInt32) -> ParserEvent {
        switch type {
        case BlockType.sectionHeader: return sectionHeader(input)
        case BlockType.interfaceDescription: return interfaceBlock(input)
        case BlockType.simplePacket: return simplePacketBlock(input)
        case BlockType.obsoletePacket:
            // Its interface number has 16 bits; the other 16 count drops.
            return packetBlock(input, number: UInt32(input.half(at: 8)))
        default: return skippedBlock(input)
        }
    }

    /// A block that holds no packet. One that is larger than any window is consumed piece by piece.
    @_noLocks
    private mutating func skippedBlock(_ input: borrowing InputWindow) -> ParserEvent {
        let length = input.word(at: 4)
        if let event = checkLength(length, atLeast: BlockSize.least) { return event }
        if Int(length) > Self.windowBytesMax {
            beginTail(after: BlockSize.header, of: length)
            return .skipped
        }
        if let event = checkWholeBlock(input, length: length) { return event }
        consume(Int(length))
        return .skipped
    }

    /// A section header: byte-order magic u32, version u16 u16, section length s64, options.
    /// The section length serves only those who want to jump over the section.
    @_noLocks
    private mutating func sectionHeader(_ input: borrowing InputWindow) -> ParserEvent {
        // What the window makes of the magic tells whether the order changes against the section before.
        let changesOrder: Bool
        switch input.word(at: 8) {
        case 0x1a2b_3c4d: changesOrder = false
        case 0x4d3c_2b1a: changesOrder = true
        default: return fail(.badByteOrderMagic)
        }
        let length = changesOrder ? input.word(at: 4).byteSwapped : input.word(at: 4)
        let fixedBytes = BlockSize.sectionHeader
        if let event = checkLength(length, atLeast: UInt32(fixedBytes + BlockSize.trailer)) {
            return event
        }
        guard input.count >= fixedBytes else {
            return shortage(input, needing: fixedBytes, or: .truncatedBlock)
        }
        let major = changesOrder ? input.half(at: 12).byteSwapped : input.half(at: 12)
        let minor = changesOrder ? input.half(at: 14).byteSwapped : input.half(at: 14)
        // Some writers put 1.2 for what is 1.0.
        guard major == 1, minor == 0 || minor == 2 else { return fail(.unsupportedVersion) }
        let isLarge = Int(length) > Self.windowBytesMax
        if !isLarge {
            let storedLength = changesOrder ? length.byteSwapped : length
            if let event = checkWholeBlock(input, length: length, stored: storedLength) { return event }
        }
        if changesOrder { isSwapped.toggle() }
        interfaces.removeAll()
        if isLarge { beginTail(after: fixedBytes, of: length) } else { consume(Int(length)) }
        return .skipped
    }

    /// Consumes more of a block that is larger than any window, and at its end compares the lengths.
    @_noLocks
    mutating func blockTail(_ input: borrowing InputWindow) -> ParserEvent {
        if tailBytes > 0 {
            let count = min(UInt64(input.count), tailBytes)
            tailBytes -= count
            consume(Int(count))
            return .skipped
        }
        guard input.count >= BlockSize.trailer else {
            if input.isLast { return fail(.truncatedBlock, at: tailStart) }
            return shortage(input, needing: BlockSize.trailer, or: .truncatedBlock)
        }
        guard input.word(at: 0) == tailLength else { return fail(.blockLengthsDiffer, at: tailStart) }
        mode = .blocks
        consume(BlockSize.trailer)
        return .skipped
    }

    /// Consumes the first bytes of a block and leaves the rest to `blockTail`.
    @_noLocks
    mutating func beginTail(after count: Int, of length: UInt32) {
        tailStart = position
        tailLength = length
        tailBytes = UInt64(Int(length) - count - BlockSize.trailer)
        mode = .blockTail
        consume(count)
    }

    /// The event to return when a block length cannot be right; nil when it can.
    @_noLocks @inline(__always)
    mutating func checkLength(_ length: UInt32, atLeast least: UInt32) -> ParserEvent? {
        if length < least { return fail(.blockLengthTooSmall) }
        if length & 3 != 0 { return fail(.blockLengthUnaligned) }
        return nil
    }

    /// The event to return unless the window holds the whole block and its two lengths agree; nil then.
    @_noLocks @inline(__always)
    mutating func checkWholeBlock(_ input: borrowing InputWindow, length: UInt32) -> ParserEvent? {
        checkWholeBlock(input, length: length, stored: length)
    }

    /// - Parameter stored: the length as the window shows it, which differs while the byte order is changing.
    @_noLocks @inline(__always)
    mutating func checkWholeBlock(
        _ input: borrowing InputWindow, length: UInt32, stored: UInt32
    ) -> ParserEvent? {
        let count = Int(length)
        if input.count < count { return shortage(input, needing: count, or: .truncatedBlock) }
        if input.word(at: count - BlockSize.trailer) != stored { return fail(.blockLengthsDiffer) }
        return nil
    }
}
