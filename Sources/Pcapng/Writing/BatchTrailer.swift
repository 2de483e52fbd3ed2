internal import Machine

/// One life of a relay process: 128 random bits.
public struct RunIdentity: BitwiseCopyable, Hashable, Sendable, CustomStringConvertible {
    /// First and last eight bytes, as little-endian numbers.
    public let low: UInt64, high: UInt64

    /// An identity with these bits.
    @_noLocks @inlinable public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// A fresh random identity from the kernel's generator.
    public static func random() -> RunIdentity {
        var generator = SystemRandomNumberGenerator()
        return RunIdentity(low: generator.next(), high: generator.next())
    }

    /// 32 hexadecimal digits in the order of the bytes on the wire.
    public var description: String {
        [low, high].map { word in
            (0..<8).map { index in
                let byte = String(word >> UInt64(8 * index) & 0xFF, radix: 16)
                return byte.count == 1 ? "0" + byte : byte
            }.joined()
        }.joined()
    }
}

/// What closes a batch: its identity, its counts, its times and its checksum, as a local-use block of 96 bytes.
///
/// The layout is in docs/format.md. Readers of pcapng skip the block; Spillway walks backwards over batches with it.
public struct BatchTrailer: BitwiseCopyable, Equatable, Sendable {
    /// Length of the block.
    public static var byteCount: Int { @_noLocks @inlinable get { 96 } }
    /// Batch numbers are below this, so that no sum of them overflows.
    public static var numberLimit: UInt64 { @_noLocks @inlinable get { 1 << 62 } }
    /// Format version written.
    public static var version: UInt16 { @_noLocks @inlinable get { 1 } }

    /// None are defined yet.
    public var flags: UInt16 = 0
    /// Number of the worker within its run.
    public var worker: UInt16 = 0
    /// Number of the lane within its run.
    public var lane: UInt16 = 0
    /// The run it was made in.
    public var run: RunIdentity
    /// Dense within (run, worker, lane), from 0.
    public var number: UInt64 = 0
    /// Records in the batch.
    public var packets: UInt32 = 0
    /// Frames they were made from; more than `packets` where fragments were put together.
    public var sourceFrames: UInt32 = 0
    /// Bytes of the records, this block not included.
    public var recordBytes: UInt32 = 0
    /// CRC32C of the interface description blocks that the records refer to.
    public var interfaceCRC: UInt32 = 0
    /// Least packet time, nanoseconds since 1970 UTC.
    public var leastTime: UInt64 = 0
    /// Greatest packet time, nanoseconds since 1970 UTC.
    public var greatestTime: UInt64 = 0
    /// First arrival, nanoseconds since 1970 UTC.
    public var firstArrival: UInt64 = 0
    /// Last arrival, nanoseconds since 1970 UTC; what order goes by.
    public var lastArrival: UInt64 = 0

    /// A trailer of this run with everything else zero.
    @_noLocks public init(run: RunIdentity) { self.run = run }

    /// Writes the block behind `recordBytes` bytes of records and checksums both.
    ///
    /// - Parameter target: the first byte after the records, which lie right before it; room for 96 bytes.
    @_noLocks public func write(to target: UnsafeMutableRawPointer) {
        unsafe target.storeBytes(of: BlockType.batchTrailer, as: UInt32.self)
        unsafe (target + 4).storeBytes(of: UInt32(96), as: UInt32.self)
        unsafe (target + 8).storeBytes(of: 1, as: UInt16.self)
        unsafe (target + 10).storeBytes(of: flags, as: UInt16.self)
        unsafe (target + 12).storeBytes(of: worker, as: UInt16.self)
        unsafe (target + 14).storeBytes(of: lane, as: UInt16.self)
        unsafe (target + 16).storeBytes(of: run.low, as: UInt64.self)
        unsafe (target + 24).storeBytes(of: run.high, as: UInt64.self)
        unsafe (target + 32).storeBytes(of: number, as: UInt64.self)
        unsafe (target + 40).storeBytes(of: packets, as: UInt32.self)
        unsafe (target + 44).storeBytes(of: sourceFrames, as: UInt32.self)
        unsafe (target + 48).storeBytes(of: recordBytes, as: UInt32.self)
        unsafe (target + 52).storeBytes(of: interfaceCRC, as: UInt32.self)
        unsafe (target + 56).storeBytes(of: leastTime, as: UInt64.self)
        unsafe (target + 64).storeBytes(of: greatestTime, as: UInt64.self)
        unsafe (target + 72).storeBytes(of: firstArrival, as: UInt64.self)
        unsafe (target + 80).storeBytes(of: lastArrival, as: UInt64.self)
        let records = Int(recordBytes)
        let crc = unsafe CRC32C.of(UnsafeRawPointer(target) - records, count: records + 88)
        unsafe (target + 88).storeBytes(of: crc, as: UInt32.self)
        unsafe (target + 92).storeBytes(of: UInt32(96), as: UInt32.self)
    }

    /// Reads a trailer that was written by this process or checked by `isIntact`.
    @_noLocks public init(reading source: UnsafeRawPointer) {
        unsafe self.init(
            run: RunIdentity(
                low: (source + 16).loadUnaligned(as: UInt64.self), high: (source + 24).loadUnaligned(as: UInt64.self)))
        unsafe flags = (source + 10).loadUnaligned(as: UInt16.self)
        unsafe worker = (source + 12).loadUnaligned(as: UInt16.self)
        unsafe lane = (source + 14).loadUnaligned(as: UInt16.self)
        unsafe number = (source + 32).loadUnaligned(as: UInt64.self)
        unsafe packets = (source + 40).loadUnaligned(as: UInt32.self)
        unsafe sourceFrames = (source + 44).loadUnaligned(as: UInt32.self)
        unsafe recordBytes = (source + 48).loadUnaligned(as: UInt32.self)
        unsafe interfaceCRC = (source + 52).loadUnaligned(as: UInt32.self)
        unsafe leastTime = (source + 56).loadUnaligned(as: UInt64.self)
        unsafe greatestTime = (source + 64).loadUnaligned(as: UInt64.self)
        unsafe firstArrival = (source + 72).loadUnaligned(as: UInt64.self)
        unsafe lastArrival = (source + 80).loadUnaligned(as: UInt64.self)
    }

    /// The last arrival alone, which is what order goes by.
    @_noLocks @inlinable @inline(__always)
    public static func lastArrival(at trailer: UnsafeRawPointer) -> UInt64 {
        unsafe (trailer + 80).loadUnaligned(as: UInt64.self)
    }

    /// Whether these bytes are exactly one whole batch: records, trailer, checksum.
    @_noLocks public static func isIntact(_ batch: UnsafeRawPointer, byteCount: Int) -> Bool {
        guard byteCount >= 96 else { return false }
        let trailer = unsafe batch + (byteCount - 96)
        guard unsafe trailer.loadUnaligned(as: UInt32.self) == BlockType.batchTrailer,
            unsafe (trailer + 4).loadUnaligned(as: UInt32.self) == 96,
            unsafe (trailer + 8).loadUnaligned(as: UInt16.self) == 1,
            unsafe (trailer + 92).loadUnaligned(as: UInt32.self) == 96,
            Int(unsafe (trailer + 48).loadUnaligned(as: UInt32.self)) == byteCount - 96
        else { return false }
        let expected = unsafe (trailer + 88).loadUnaligned(as: UInt32.self)
        return unsafe CRC32C.of(batch, count: byteCount - 8) == expected
    }
}
