import Glibc
import Machine
import Synchronization

/// Buffers of the size of the largest read, used again and again: as many as are ever in use at the same time.
final class BufferPool: Sendable {
    /// The greatest read of the kernel, 256 pages.
    static let bufferBytes = 1 << 20

    // Addresses, because a pointer cannot be in a Mutex that is shared; memory lives as long as the process.
    private let free = Mutex<[UInt]>([])

    /// Runs a body with a buffer for a read of this size.
    func withBuffer<Result>(_ size: Int, _ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        let address = free.withLock { $0.popLast() } ?? Self.make()
        defer { free.withLock { $0.append(address) } }
        let base = unsafe UnsafeMutableRawPointer(bitPattern: address)!
        return unsafe body(UnsafeMutableRawBufferPointer(start: base, count: min(size, Self.bufferBytes)))
    }

    private static func make() -> UInt {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bufferBytes, alignment: 4096)
        return UInt(bitPattern: memory)
    }
}
