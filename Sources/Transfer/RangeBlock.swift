public import Pcapng

/// OWED, HAVE, ACK or GONE: ranges of batch numbers of one lane, read in place.
///
/// A view of bytes that stay valid and unchanged while it is used. Once made, all of it is known to be in order: no getter
/// fails, and no index below `count` leads outside.
@safe public struct RangeBlock: BitwiseCopyable {
    // Safe because `init` has checked every byte it reads later; whoever makes it keeps the memory.
    private let bytes: UnsafeRawPointer

    /// Bytes of a block without ranges.
    public static var emptyByteCount: Int { @_noLocks @inlinable get { 56 } }

    /// Checks a whole block of one of the four types.
    @_noLocks public init(_ bytes: UnsafeRawPointer, byteCount: Int) throws(ControlError) {
        try unsafe BlockFrame.check(bytes, byteCount: byteCount, least: Self.emptyByteCount)
        switch unsafe bytes.loadUnaligned(as: UInt32.self) {
        case ControlType.owed, ControlType.have, ControlType.ack, ControlType.gone: break
        default: throw .otherType
        }
        let count = Int(unsafe (bytes + 44).loadUnaligned(as: UInt32.self))
        guard byteCount - Self.emptyByteCount == 16 * count else { throw .badLength }
        var end: UInt64 = 0
        var place = 0
        while place < count {
            let range = unsafe bytes + (48 + 16 * place)
            let first = unsafe range.loadUnaligned(as: UInt64.self)
            guard place == 0 || first > end else { throw .badRanges }
            end = unsafe (range + 8).loadUnaligned(as: UInt64.self)
            guard first < end else { throw .badRanges }
            place += 1
        }
        let mark = unsafe (bytes + 32).loadUnaligned(as: UInt64.self)
        guard max(mark, end) <= BatchTrailer.numberLimit else { throw .badRanges }
        unsafe self.bytes = bytes
    }

    /// Which of the four it is.
    public var type: UInt32 { @_noLocks get { unsafe bytes.loadUnaligned(as: UInt32.self) } }
    /// The last list of an inventory, or of the answer to it.
    public var isLast: Bool { @_noLocks get { unsafe (bytes + 10).loadUnaligned(as: UInt16.self) & 1 == 1 } }
    /// Worker.
    public var worker: UInt16 { @_noLocks get { unsafe (bytes + 12).loadUnaligned(as: UInt16.self) } }
    /// Lane.
    public var lane: UInt16 { @_noLocks get { unsafe (bytes + 14).loadUnaligned(as: UInt16.self) } }
    /// Run.
    public var run: RunIdentity {
        @_noLocks get {
            RunIdentity(
                low: unsafe (bytes + 16).loadUnaligned(as: UInt64.self),
                high: unsafe (bytes + 24).loadUnaligned(as: UInt64.self))
        }
    }
    /// In OWED: what is below it and in no range never comes.
    public var mark: UInt64 { @_noLocks get { unsafe (bytes + 32).loadUnaligned(as: UInt64.self) } }
    /// In GONE: why; see ``GoneReason``.
    public var reason: UInt32 { @_noLocks get { unsafe (bytes + 40).loadUnaligned(as: UInt32.self) } }
    /// Number of ranges.
    public var count: Int { @_noLocks get { Int(unsafe (bytes + 44).loadUnaligned(as: UInt32.self)) } }

    /// One range: its first number, and the number behind its last. They ascend and do not touch.
    @_noLocks public func range(_ place: Int) -> (first: UInt64, end: UInt64) {
        precondition(place >= 0 && place < count, "a range of the block")
        let range = unsafe bytes + (48 + 16 * place)
        return unsafe (range.loadUnaligned(as: UInt64.self), (range + 8).loadUnaligned(as: UInt64.self))
    }

    /// Whether a number lies in one of the ranges.
    @_noLocks public func contains(_ number: UInt64) -> Bool {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            let (first, end) = range(middle)
            if number < first {
                high = middle
            } else if number >= end {
                low = middle + 1
            } else {
                return true
            }
        }
        return false
    }
}

/// Why batches will not come.
public enum GoneReason: UInt32, Sendable {
    case expired = 1
    case dropped = 2
    case reassigned = 3

    /// The number on the wire, for the data plane.
    public var code: UInt32 {
        @_noLocks get {
            switch self {
            case .expired: 1
            case .dropped: 2
            case .reassigned: 3
            }
        }
    }
}
