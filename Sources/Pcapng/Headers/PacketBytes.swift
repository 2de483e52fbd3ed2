/// The captured bytes of a packet, as the header readers see them.
///
/// The contract of all readers in this folder: a header is first checked to lie inside `count`, then read
/// without further questions. A read that was not checked for stops a debug build.
///
/// SAFETY: made from a pointer and a count whose bytes the caller keeps alive for the call; every read is
/// below `count`.
@safe struct PacketBytes: BitwiseCopyable {
    private let base: UnsafeRawPointer
    /// How many bytes there are.
    let count: Int

    @_noLocks @inline(__always)
    init(_ base: UnsafeRawPointer, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    /// The same bytes, up to `end` at most.
    @_noLocks @inline(__always)
    func cut(to end: Int) -> PacketBytes { unsafe PacketBytes(base, count: min(count, end)) }

    /// Whether `length` bytes can be read at `offset`.
    @_noLocks @inline(__always)
    func has(_ length: Int, at offset: Int) -> Bool { offset &+ length <= count }

    /// One byte.
    @_noLocks @inline(__always)
    func byte(_ offset: Int) -> UInt8 {
        assert(offset >= 0 && offset < count)
        return unsafe base.load(fromByteOffset: offset, as: UInt8.self)
    }

    /// A number of two bytes in network order.
    @_noLocks @inline(__always)
    func number16(_ offset: Int) -> UInt16 {
        assert(offset >= 0 && offset &+ 2 <= count)
        return UInt16(bigEndian: unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// A number of four bytes in network order.
    @_noLocks @inline(__always)
    func number32(_ offset: Int) -> UInt32 { UInt32(bigEndian: word32(offset)) }

    /// Four bytes as they stand in memory.
    @_noLocks @inline(__always)
    func word32(_ offset: Int) -> UInt32 {
        assert(offset >= 0 && offset &+ 4 <= count)
        return unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    /// Eight bytes as they stand in memory.
    @_noLocks @inline(__always)
    func word64(_ offset: Int) -> UInt64 {
        assert(offset >= 0 && offset &+ 8 <= count)
        return unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
}
