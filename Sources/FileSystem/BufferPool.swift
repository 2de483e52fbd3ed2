import Glibc
import Machine
import Synchronization

/// Buffers of the size of the largest read, used again and again: as many as are ever in use at the same time.
final class BufferPool: Sendable {
    /// The greatest read of the kernel, 256 pages.
    static let bufferBytes = 1 << 20

    // Addresses, because a pointer cannot be in a Mutex that is shared; memory lives as long as the process.
    private let free = Mutex<[UInt]>([])

    /// The address of a buffer, which the caller gives back.
    func take() -> UInt { free.withLock { $0.popLast() } ?? Self.make() }

    func give(_ address: UInt) { free.withLock { $0.append(address) } }

    static func memory(_ address: UInt, _ size: Int) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: address), count: min(size, bufferBytes))
    }

    /// Runs a body with a buffer for a read of this size.
    func withBuffer<Result>(_ size: Int, _ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        let address = take()
        defer { give(address) }
        return unsafe body(Self.memory(address, size))
    }

    private static func make() -> UInt {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bufferBytes, alignment: 4096)
        return UInt(bitPattern: memory)
    }
}
