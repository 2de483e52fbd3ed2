/// The bytes a parser step may look at, with the byte order they are to be read in.
///
/// SAFETY: it lives only during one step, while the caller's buffer does; every load comes after a comparison of its end
/// with `count`.
@safe
struct InputWindow: ~Copyable {
    private let start: UnsafeRawPointer
    let count: Int
    let isLast: Bool
    /// True when words are in the other byte order than this machine's.
    var isSwapped: Bool

    @_noLocks @inline(__always)
    init(start: UnsafeRawPointer, count: Int, isLast: Bool, isSwapped: Bool) {
        unsafe self.start = start
        self.count = count
        self.isLast = isLast
        self.isSwapped = isSwapped
    }

    @_noLocks @inline(__always)
    func byte(at offset: Int) -> UInt8 {
        assert(offset >= 0 && offset < count)
        return unsafe start.load(fromByteOffset: offset, as: UInt8.self)
    }

    @_noLocks @inline(__always)
    func half(at offset: Int) -> UInt16 {
        assert(offset >= 0 && offset + 2 <= count)
        let value = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
        return isSwapped ? value.byteSwapped : value
    }

    @_noLocks @inline(__always)
    func word(at offset: Int) -> UInt32 {
        assert(offset >= 0 && offset + 4 <= count)
        let value = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return isSwapped ? value.byteSwapped : value
    }

    @_noLocks @inline(__always)
    func long(at offset: Int) -> UInt64 {
        assert(offset >= 0 && offset + 8 <= count)
        let value = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        return isSwapped ? value.byteSwapped : value
    }

    /// A copy of some bytes. Allocates, so it is for the control plane only.
    func bytes(at offset: Int, count length: Int) -> [UInt8] {
        precondition(offset >= 0 && length >= 0 && offset + length <= count)
        return unsafe [UInt8](UnsafeRawBufferPointer(start: start + offset, count: length))
    }
}
