public import CMachine

/// A record: one packet as a pcapng Enhanced Packet Block without options, little endian, nanoseconds.
///
/// | offset | field |
/// | --- | --- |
/// | 0 | block type 6, total length |
/// | 8 | interface, time high |
/// | 16 | time low, captured length |
/// | 24 | original length |
/// | 28 | captured bytes, padded with zeros to 4 |
/// | last 4 | total length |
public enum Record {
    /// Bytes of a record beside the padded packet.
    public static var overhead: Int { @_noLocks @inlinable get { 32 } }
    /// Where the packet's bytes begin.
    public static var dataOffset: Int { @_noLocks @inlinable get { 28 } }
    /// The longest record there is.
    public static var maximumByteCount: Int { @_noLocks @inlinable get { overhead + BlockType.snapshotLength } }

    /// Length of the record of a packet with this many captured bytes.
    @_noLocks @inlinable @inline(__always)
    public static func byteCount(captured: Int) -> Int {
        32 + ((captured + 3) & ~3)
    }

    /// Writes one record and returns its length.
    ///
    /// - Parameters:
    ///   - target: room for `byteCount(captured:)` bytes, 4-byte aligned.
    ///   - time: nanoseconds since 1970 UTC.
    ///   - captured: bytes at `bytes`, at most `BlockType.snapshotLength`.
    ///   - original: length of the packet on the wire.
    @_noLocks @inlinable @inline(__always)
    public static func write(
        to target: UnsafeMutableRawPointer, time: UInt64, interface: UInt32,
        bytes: UnsafeRawPointer, captured: UInt32, original: UInt32
    ) -> Int {
        let count = Int(captured)
        let total = byteCount(captured: count)
        let length = UInt64(truncatingIfNeeded: total)
        unsafe target.storeBytes(of: 6 | length << 32, as: UInt64.self)
        unsafe (target + 8).storeBytes(of: UInt64(interface) | (time & 0xFFFF_FFFF_0000_0000), as: UInt64.self)
        unsafe (target + 16).storeBytes(of: time & 0xFFFF_FFFF | UInt64(captured) << 32, as: UInt64.self)
        // The last word and the trailing length in one store: the padding is zero wherever the packet ends. It comes
        // before the original length, which is that last word when there is no data.
        unsafe (target + total - 8).storeBytes(of: length << 32, as: UInt64.self)
        unsafe (target + 24).storeBytes(of: original, as: UInt32.self)
        unsafe spillway_copy(target + 28, bytes, count)
        return total
    }
}

/// Where the parts of a record lie; for a record that was checked or written by ourselves.
@safe public struct RecordView: BitwiseCopyable {
    // Safe because it is only made from whole records inside a batch whose memory outlives the view's use.
    @usableFromInline let base: UnsafeRawPointer

    /// A view of the record that begins at `base`.
    @_noLocks @inlinable @inline(__always)
    public init(_ base: UnsafeRawPointer) { unsafe self.base = base }

    /// Length of the whole block.
    public var byteCount: Int {
        @_noLocks @inlinable @inline(__always)
        get { Int(unsafe (base + 4).loadUnaligned(as: UInt32.self)) }
    }
    /// Index of the interface description.
    public var interface: UInt32 {
        @_noLocks @inlinable @inline(__always)
        get { unsafe (base + 8).loadUnaligned(as: UInt32.self) }
    }
    /// Nanoseconds since 1970 UTC.
    public var time: UInt64 {
        @_noLocks @inlinable @inline(__always)
        get {
            UInt64(unsafe (base + 12).loadUnaligned(as: UInt32.self)) << 32
                | UInt64(unsafe (base + 16).loadUnaligned(as: UInt32.self))
        }
    }
    /// Captured bytes.
    public var captured: Int {
        @_noLocks @inlinable @inline(__always)
        get { Int(unsafe (base + 20).loadUnaligned(as: UInt32.self)) }
    }
    /// Length on the wire.
    public var original: UInt32 {
        @_noLocks @inlinable @inline(__always)
        get { unsafe (base + 24).loadUnaligned(as: UInt32.self) }
    }
    /// The packet's first byte.
    public var data: UnsafeRawPointer {
        @_noLocks @inlinable @inline(__always)
        get { unsafe base + 28 }
    }
}
