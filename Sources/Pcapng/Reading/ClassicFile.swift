/// Classic pcap: a header of 24 bytes, then records (pcap-savefile(5), draft-ietf-opsawg-pcap).
extension CaptureFileParser {
    static var classicHeaderBytes: Int { @_noLocks get { 24 } }

    /// Reads the header: magic u32, version u16 u16, two unused u32, snap length u32, link type word u32.
    @_noLocks
    mutating func classicHeader(_ input: borrowing InputWindow, isSwapped swapped: Bool) -> ParserEvent {
        guard input.count >= Self.classicHeaderBytes else {
            return shortage(input, needing: Self.classicHeaderBytes, or: .truncatedHeader)
        }
        isSwapped = swapped
        let major = swapped ? input.half(at: 4).byteSwapped : input.half(at: 4)
        let minor = swapped ? input.half(at: 6).byteSwapped : input.half(at: 6)
        let linkTypeWord = swapped ? input.word(at: 20).byteSwapped : input.word(at: 20)
        // Before version 2.3 the original length came first; some writers of 2.3 did it so and some the other way.
        // 543.0 was a writer's mistake for 2.1 or so.
        switch (major, minor) {
        case (2, 0...2), (543, 0): classic.lengthOrder = .originalFirst
        case (2, 3): classic.lengthOrder = .smallerIsCaptured
        case (2, 4): classic.lengthOrder = .capturedFirst
        default: return fail(.unsupportedVersion)
        }
        guard linkTypeWord & 0x03ff_0000 == 0 else { return fail(.reservedLinkTypeBits) }
        mode = .classicRecords
        pending = InterfaceEntry(
            index: interfacesTotal, snapLength: 0, scale: TimestampScale(resolution: 6, offsetSeconds: 0))
        consume(Self.classicHeaderBytes)
        return .interface
    }

    /// The interface a pcap file's header speaks of. The input is the window that begins with the header.
    func classicInterface(_ input: borrowing InputWindow) -> InterfaceDescription {
        let word = input.word(at: 20)
        var result = InterfaceDescription(
            linkType: LinkType(UInt16(truncatingIfNeeded: word)), snapLength: input.word(at: 16))
        // The top four bits count 16-bit units, and hold only when bit 26 says so.
        if word & 0x0400_0000 != 0 { result.frameCheckOctets = UInt8(word >> 28) * 2 }
        result.timestampResolution = classic.nanosecondsPerUnit == 1 ? 9 : 6
        return result
    }

    /// Reads a record: seconds u32, fraction u32, two lengths u32 each, and in the patched format 8 bytes more.
    @_noLocks @inline(__always)
    mutating func classicRecord(_ input: borrowing InputWindow) -> ParserEvent {
        let headerBytes = classic.recordHeaderBytes
        guard input.count >= headerBytes else {
            return shortage(input, needing: headerBytes, or: .truncatedRecord)
        }
        let seconds = UInt64(input.word(at: 0))
        let fraction = UInt64(input.word(at: 4))
        var captured = input.word(at: 8)
        var original = input.word(at: 12)
        switch classic.lengthOrder {
        case .capturedFirst: break
        case .originalFirst: swap(&captured, &original)
        case .smallerIsCaptured: if captured > original { swap(&captured, &original) }
        }
        guard captured <= Self.capturedBytesMax else { return fail(.capturedLengthTooLarge) }
        let recordBytes = headerBytes &+ Int(captured)
        guard input.count >= recordBytes else {
            return shortage(input, needing: recordBytes, or: .truncatedRecord)
        }
        // Neither term can overflow: 2^32 seconds are 4.3 * 10^18 ns, 2^32 microseconds 4.3 * 10^12 ns.
        packet = PacketHeader(
            time: seconds &* 1_000_000_000 &+ fraction &* classic.nanosecondsPerUnit,
            captured: captured, original: original, interface: 0, dataOffset: headerBytes)
        consume(recordBytes)
        return .packet
    }
}
