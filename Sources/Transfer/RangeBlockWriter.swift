internal import CMachine
internal import Machine
public import Pcapng

/// Writes OWED, HAVE, ACK or GONE into memory, range by range.
@safe public struct RangeBlockWriter: ~Copyable {
    // Safe because it never writes beyond the capacity it was given; whoever makes it keeps the memory.
    private let bytes: UnsafeMutableRawPointer
    private let capacity: Int
    private var end: UInt64 = 0
    /// Ranges so far.
    public private(set) var count = 0

    /// Begins a block.
    ///
    /// - Parameter capacity: bytes there are, 56 at least.
    @_noLocks public init(
        _ type: UInt32, run: RunIdentity, worker: UInt16, lane: UInt16, mark: UInt64 = 0, reason: UInt32 = 0,
        to bytes: UnsafeMutableRawPointer, capacity: Int
    ) {
        precondition(capacity >= RangeBlock.emptyByteCount, "room for a block without ranges")
        unsafe bytes.storeBytes(of: type, as: UInt32.self)
        unsafe (bytes + 8).storeBytes(of: 0, as: UInt32.self)
        unsafe (bytes + 12).storeBytes(of: worker, as: UInt16.self)
        unsafe (bytes + 14).storeBytes(of: lane, as: UInt16.self)
        unsafe (bytes + 16).storeBytes(of: run.low, as: UInt64.self)
        unsafe (bytes + 24).storeBytes(of: run.high, as: UInt64.self)
        unsafe (bytes + 32).storeBytes(of: mark, as: UInt64.self)
        unsafe (bytes + 40).storeBytes(of: reason, as: UInt32.self)
        unsafe self.bytes = bytes
        self.capacity = min(capacity, ControlType.longest(type))
    }

    /// Whether another range fits.
    public var isFull: Bool { @_noLocks get { RangeBlock.emptyByteCount + 16 * (count + 1) > capacity } }

    /// Adds a range behind the others; one that touches the last one makes it longer. False if there is no room.
    @_noLocks public mutating func append(_ first: UInt64, _ end: UInt64) -> Bool {
        precondition(first < end && (count == 0 || first >= self.end), "ranges ascend")
        if count > 0, first == self.end {
            unsafe (bytes + (48 + 16 * (count - 1) + 8)).storeBytes(of: end, as: UInt64.self)
            self.end = end
            return true
        }
        guard !isFull else { return false }
        let range = unsafe bytes + (48 + 16 * count)
        unsafe range.storeBytes(of: first, as: UInt64.self)
        unsafe (range + 8).storeBytes(of: end, as: UInt64.self)
        self.end = end
        count += 1
        return true
    }

    /// Ends the block; returns its length in bytes.
    @_noLocks public consuming func finish(isLast: Bool = false) -> Int {
        let byteCount = RangeBlock.emptyByteCount + 16 * count
        unsafe (bytes + 4).storeBytes(of: UInt32(truncatingIfNeeded: byteCount), as: UInt32.self)
        unsafe (bytes + 10).storeBytes(of: isLast ? 1 : 0, as: UInt16.self)
        unsafe (bytes + 44).storeBytes(of: UInt32(truncatingIfNeeded: count), as: UInt32.self)
        let sum = unsafe CRC32C.of(bytes, count: byteCount - 8)
        unsafe (bytes + (byteCount - 8)).storeBytes(of: sum, as: UInt32.self)
        unsafe (bytes + (byteCount - 4)).storeBytes(of: UInt32(truncatingIfNeeded: byteCount), as: UInt32.self)
        return byteCount
    }
}

/// A list of ranges for the control plane, as one block or as many as it takes.
public struct NumberRanges {
    /// What it speaks of.
    public var run: RunIdentity, worker: UInt16, lane: UInt16
    /// See ``RangeBlock``.
    public var mark: UInt64 = 0, reason: UInt32 = 0
    /// First number, and the number behind the last; ascending, not touching.
    public var ranges: [Range<UInt64>]

    /// A list of these ranges.
    public init(
        run: RunIdentity, worker: UInt16, lane: UInt16, mark: UInt64 = 0, reason: UInt32 = 0,
        _ ranges: [Range<UInt64>]
    ) {
        (self.run, self.worker, self.lane, self.ranges) = (run, worker, lane, ranges)
        (self.mark, self.reason) = (mark, reason)
    }

    /// The blocks of a type that say this, one at least; `isLast` marks the last of them.
    public func blocks(_ type: UInt32, isLast: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = ranges[...]
        repeat {
            let part = rest.prefix(TransferLimit.rangesOfBlock)
            rest = rest.dropFirst(part.count)
            let block = unsafe [UInt8](unsafeUninitializedCapacity: RangeBlock.emptyByteCount + 16 * part.count) {
                buffer, count in
                var writer = unsafe RangeBlockWriter(
                    type, run: run, worker: worker, lane: lane, mark: mark, reason: reason, to: buffer.baseAddress!,
                    capacity: buffer.count)
                for range in part { _ = writer.append(range.lowerBound, range.upperBound) }
                count = writer.finish(isLast: isLast && rest.isEmpty)
            }
            bytes += block
        } while !rest.isEmpty
        return bytes
    }
}
