public import Pcapng

/// What a batch of foreign origin was found to be when every block of it was looked at.
public struct BatchCheck: BitwiseCopyable, Sendable {
    /// Longest batch there can be: the longest segment of a relay.
    public static var byteLimit: Int { @_noLocks get { 32 << 20 } }

    /// The trailer.
    public let trailer: BatchTrailer
    /// The greatest interface id in its records.
    public let greatestInterface: UInt32
    /// Whether the packet times never go back.
    public let isSorted: Bool

    /// Checks a whole batch: the trailer's form and checksum, that its numbers are those of the records, that each
    /// record is one that every reader of pcapng takes. Nil if anything is wrong.
    ///
    /// - Parameters:
    ///   - batch: the first byte of the first record.
    ///   - byteCount: length with the trailer.
    @_noLocks public init?(_ batch: UnsafeRawPointer, byteCount: Int) {
        guard byteCount <= Self.byteLimit, byteCount % 4 == 0,
            unsafe BatchTrailer.isIntact(batch, byteCount: byteCount)
        else { return nil }
        let end = byteCount - BatchTrailer.byteCount
        let trailer = unsafe BatchTrailer(reading: batch + end)
        var (offset, packets) = (0, UInt32(0))
        var (least, greatest, last) = (UInt64.max, UInt64(0), UInt64(0))
        var interface = UInt32(0)
        var isSorted = true
        while offset < end {
            let length = unsafe Self.recordLength(batch + offset, room: end - offset)
            guard length > 0 else { return nil }
            let record = unsafe RecordView(batch + offset)
            let time = record.time
            least = min(least, time)
            greatest = max(greatest, time)
            isSorted = isSorted && time >= last
            last = time
            interface = max(interface, record.interface)
            packets += 1
            offset += length
        }
        guard packets > 0, packets == trailer.packets, least == trailer.leastTime, greatest == trailer.greatestTime,
            trailer.firstArrival <= trailer.lastArrival, trailer.number < BatchTrailer.numberLimit
        else { return nil }
        self.trailer = trailer
        greatestInterface = interface
        self.isSorted = isSorted
    }

    /// Length of the record at `base` if it is whole within `room` bytes and well formed, else 0.
    @_noLocks static func recordLength(_ base: UnsafeRawPointer, room: Int) -> Int {
        guard room >= Record.overhead, unsafe base.loadUnaligned(as: UInt32.self) == BlockType.enhancedPacket
        else { return 0 }
        let record = unsafe RecordView(base)
        let length = record.byteCount
        let captured = record.captured
        guard length <= room, length % 4 == 0, captured <= BlockType.snapshotLength,
            length >= Record.byteCount(captured: captured),
            unsafe (base + (length - 4)).loadUnaligned(as: UInt32.self) == UInt32(truncatingIfNeeded: length)
        else { return 0 }
        let options = Record.byteCount(captured: captured) - 4
        return unsafe areOptions(base + options, count: length - 4 - options) ? length : 0
    }

    /// Whether these are options that end where they must; none at all is fine.
    @_noLocks private static func areOptions(_ base: UnsafeRawPointer, count: Int) -> Bool {
        var offset = 0
        while offset + 4 <= count {
            let code = unsafe (base + offset).loadUnaligned(as: UInt16.self)
            let value = Int(unsafe (base + (offset + 2)).loadUnaligned(as: UInt16.self))
            if code == 0 { return value == 0 && offset + 4 == count }
            offset += 4 + (value + 3) & ~3
        }
        return offset == count
    }
}
