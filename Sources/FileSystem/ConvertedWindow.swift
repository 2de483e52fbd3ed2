internal import CFuse
import Glibc

/// Converted content of a file, a stretch of it at a time. A change needs to know where records begin, so it goes on from
/// where it stopped; places on the way are remembered for readers that go back.
///
/// SAFETY: it owns its buffer; all offsets stay below `count`.
@safe struct ConvertedWindow: ~Copyable {
    /// The walk behind the stretch at hand.
    private(set) var walk: RecordWalk
    private var checkpoints: [RecordWalk]
    private let bytes: UnsafeMutableRawBufferPointer
    /// What of the file the stretch holds.
    private var from: UInt64
    private var count = 0

    private static var capacity: Int { 1 << 20 }

    var stop: WalkStop { walk.stop }

    init(_ walk: RecordWalk) {
        self.walk = walk
        checkpoints = [walk]
        from = 0
        unsafe bytes = .allocate(byteCount: Self.capacity, alignment: 4096)
    }

    deinit { unsafe bytes.deallocate() }

    /// Copies converted bytes from an offset in the file; 0 if there are none now.
    ///
    /// - Parameter isValid: asked after bytes were read from the file, before they are believed.
    mutating func read(
        _ target: UnsafeMutableRawBufferPointer, at offset: UInt64, _ file: Int32, isValid: () -> Bool
    ) throws(Errno) -> Int {
        if offset < from {
            let index = checkpoints.lastIndex { $0.cursor <= offset } ?? 0
            walk = checkpoints[index]
            (from, count) = (walk.cursor, 0)
        }
        while offset >= from + UInt64(count) {
            if try refill(file, isValid) == 0 { return 0 }
        }
        let start = Int(offset - from)
        let length = min(target.count, count - start)
        unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]))
        return length
    }

    private mutating func refill(_ file: Int32, _ isValid: () -> Bool) throws(Errno) -> Int {
        let next = from + UInt64(count)
        let read = unsafe spillway_pread(file, bytes.baseAddress!, bytes.count, next)
        guard read >= 0 else { throw Errno(errno) }
        guard read > 0, isValid() else { return 0 }
        walk.cursor = next
        if next > checkpoints[checkpoints.count - 1].cursor { checkpoints.append(walk) }
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<read])
        let usable = unsafe walk.advance(part, at: next, file: file)
        // An attempt that gave nothing leaves the stretch before it in place no more, since its bytes are gone.
        (from, count) = (next, usable)
        return usable
    }
}
