/// What completes a record whose end was never written, so that what follows it in the stream is not taken for its rest.
///
/// The bytes that are missing are zeros, except where a length has to be right. A reader sees a packet whose end is zeros,
/// and everything behind it unharmed.
enum TornRecord {
    /// The bytes to add to a record of which the header is there.
    ///
    /// - Parameters:
    ///   - length: the length of the whole record.
    ///   - missing: how many bytes of it are not there.
    static func rest(ofLength length: UInt64, missing: UInt64, _ format: CaptureFormat) -> [UInt8] {
        let zeros = [UInt8](repeating: 0, count: Int(missing))
        guard format.container == .pcapng else { return zeros }
        let tail = bytes(UInt32(length), format.isSwapped)
        return zeros.dropLast(min(4, zeros.count)) + tail.suffix(min(4, zeros.count))
    }

    /// The bytes to add to the beginning of a header, the rest of the record included; nil when it makes no sense.
    static func rest(ofHeader start: [UInt8], _ format: CaptureFormat) -> [UInt8]? {
        if format.container == .pcapng { return shortBlock(start, format.isSwapped) }
        let header = start + [UInt8](repeating: 0, count: max(0, format.recordHeader - start.count))
        let captured = number(header, 8, format.isSwapped)
        guard captured <= 128 << 20 else { return nil }
        return [UInt8](repeating: 0, count: format.recordHeader + Int(captured) - start.count)
    }

    /// Of a block that has not even its length: the shortest one of its type, which says nothing. Bytes of the length that
    /// are there already stay as they are.
    private static func shortBlock(_ start: [UInt8], _ isBigEndian: Bool) -> [UInt8]? {
        var header = Array(start.prefix(8)) + [UInt8](repeating: 0, count: max(0, 8 - start.count))
        let shortest: UInt32 =
            switch number(header, 0, isBigEndian) {
            case 6, 2: 32
            case 1: 20
            case 3: 16
            case 5: 24
            default: 12
            }
        var length = number(header, 4, isBigEndian)
        if length < shortest && start.count < 8 {
            length = isBigEndian || start.count <= 4 ? length | shortest : length + 1 << (8 * UInt32(start.count - 4))
        }
        guard length & 3 == 0, length >= 12, length <= RecordWalk.blockMax else { return nil }
        header.replaceSubrange(4..<8, with: bytes(length, isBigEndian))
        let block = header + [UInt8](repeating: 0, count: Int(length) - 12) + bytes(length, isBigEndian)
        return Array(block[start.count...])
    }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ isBigEndian: Bool) -> UInt32 {
        let four = bytes[offset..<offset + 4]
        return (isBigEndian ? Array(four) : four.reversed()).reduce(0) { $0 << 8 | UInt32($1) }
    }

    private static func bytes(_ number: UInt32, _ isBigEndian: Bool) -> [UInt8] {
        let little = (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
        return isBigEndian ? little.reversed() : little
    }
}
