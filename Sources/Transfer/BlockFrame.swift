internal import Machine

/// The outline of a block in a stream that is not trusted: its type and its length, both checked before they are used.
public struct BlockFrame: BitwiseCopyable, Sendable {
    /// Block type.
    public let type: UInt32
    /// Length of the whole block in bytes, a multiple of 4, 12 at least.
    public let byteCount: Int

    /// Looks at the first bytes of a block.
    ///
    /// - Returns: nil if fewer than 8 bytes are there. The block itself may be there only in part.
    /// - Throws: `ControlError.badLength`, `.tooLong` for what no block of this type may be.
    @_noLocks public static func peek(_ bytes: UnsafeRawPointer, available: Int) throws(ControlError) -> BlockFrame? {
        guard available >= 8 else { return nil }
        let frame = BlockFrame(
            type: unsafe bytes.loadUnaligned(as: UInt32.self),
            byteCount: Int(unsafe (bytes + 4).loadUnaligned(as: UInt32.self)))
        guard frame.byteCount >= 12, frame.byteCount & 3 == 0 else { throw .badLength }
        guard frame.byteCount <= ControlType.longest(frame.type) else { throw .tooLong }
        return frame
    }

    /// Checks a whole control block: both lengths, the checksum.
    ///
    /// - Parameter least: the shortest that its layout allows.
    @_noLocks static func check(
        _ bytes: UnsafeRawPointer, byteCount: Int, least: Int
    ) throws(ControlError) {
        guard byteCount >= least, byteCount & 3 == 0,
            Int(unsafe (bytes + 4).loadUnaligned(as: UInt32.self)) == byteCount
        else { throw .badLength }
        let type = unsafe bytes.loadUnaligned(as: UInt32.self)
        guard byteCount <= ControlType.longest(type) else { throw .tooLong }
        guard Int(unsafe (bytes + (byteCount - 4)).loadUnaligned(as: UInt32.self)) == byteCount else {
            throw .lengthsDiffer
        }
        let sum = unsafe (bytes + (byteCount - 8)).loadUnaligned(as: UInt32.self)
        guard unsafe CRC32C.of(bytes, count: byteCount - 8) == sum else { throw .checksumDiffers }
    }
}
