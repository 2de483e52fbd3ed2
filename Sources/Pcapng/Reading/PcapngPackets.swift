/// The three kinds of pcapng blocks that hold a packet.
extension CaptureFileParser {
    /// An enhanced packet block, or an obsolete packet block, which is laid out alike: interface, time stamp u32 high and
    /// u32 low, captured length u32, original length u32, the packet padded to 4 bytes, options.
    ///
    /// - Parameter number: the interface's number in its section.
    @_noLocks @inline(__always)
    mutating func packetBlock(_ input: borrowing InputWindow, number: UInt32) -> ParserEvent {
        let length = input.word(at: 4)
        let fixedBytes = BlockSize.packetHeader
        let overhead = UInt32(truncatingIfNeeded: fixedBytes + BlockSize.trailer)
        if let event = checkLength(length, atLeast: overhead) { return event }
        if Int(length) <= Self.windowBytesMax {
            if let event = checkWholeBlock(input, length: length) { return event }
        } else if input.count < fixedBytes {
            return shortage(input, needing: fixedBytes, or: .truncatedBlock)
        }
        guard number < interfaces.count else { return fail(.unknownInterface) }
        let captured = input.word(at: 20)
        // The length is a multiple of 4, so that the padding fits as well when the packet does.
        guard captured <= length &- overhead else { return fail(.capturedLengthBeyondBlock) }
        let interface = interfaces[number]
        let units = UInt64(input.word(at: 12)) &<< 32 | UInt64(input.word(at: 16))
        return deliver(
            input, length: length,
            PacketHeader(
                time: interface.scale.nanoseconds(units), captured: captured, original: input.word(at: 24),
                interface: interface.index, dataOffset: fixedBytes))
    }

    /// A simple packet block: original length u32, the packet. It belongs to the section's first interface, whose
    /// snap length says how much of the packet is there.
    @_noLocks
    mutating func simplePacketBlock(_ input: borrowing InputWindow) -> ParserEvent {
        let length = input.word(at: 4)
        let fixedBytes = BlockSize.simplePacketHeader
        let overhead = UInt32(truncatingIfNeeded: fixedBytes + BlockSize.trailer)
        if let event = checkLength(length, atLeast: overhead) { return event }
        if Int(length) <= Self.windowBytesMax {
            if let event = checkWholeBlock(input, length: length) { return event }
        }
        guard interfaces.count > 0 else { return fail(.unknownInterface) }
        let interface = interfaces[0]
        let original = input.word(at: 8)
        let captured = interface.snapLength == 0 ? original : min(original, interface.snapLength)
        guard captured <= length &- overhead else { return fail(.capturedLengthBeyondBlock) }
        return deliver(
            input, length: length,
            PacketHeader(
                time: 0, captured: captured, original: original, interface: interface.index,
                dataOffset: fixedBytes))
    }

    /// Makes `found` the current packet, cut where it is too long, and consumes its block, or of a block larger than
    /// any window the part with the packet.
    @_noLocks @inline(__always)
    private mutating func deliver(
        _ input: borrowing InputWindow, length: UInt32, _ found: PacketHeader
    ) -> ParserEvent {
        if Int(length) <= Self.windowBytesMax && found.captured <= Self.capturedBytesMax {
            packet = found
            consume(Int(length))
            return .packet
        }
        return deliverLarge(input, length: length, found)
    }

    @_noLocks @inline(never)
    private mutating func deliverLarge(
        _ input: borrowing InputWindow, length: UInt32, _ found: PacketHeader
    ) -> ParserEvent {
        let captured = min(found.captured, Self.capturedBytesMax)
        let end = found.dataOffset + Int(captured)
        guard input.count >= end else { return shortage(input, needing: end, or: .truncatedBlock) }
        packet = found
        packet.captured = captured
        if captured < found.captured { cut += 1 }
        if Int(length) <= Self.windowBytesMax { consume(Int(length)) } else { beginTail(after: end, of: length) }
        return .packet
    }
}
