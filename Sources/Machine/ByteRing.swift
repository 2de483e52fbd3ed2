internal import CMachine
import Glibc
public import Synchronization

/// The fast ring's other form: bytes of varying length, one producer, one consumer.
///
/// The buffer is mapped twice in a row, so an entry is always contiguous and wrapping needs no code. Everything else is
/// as in ``SPSCRing``: cached indices, batched publication, never a lock or a wait. Entries are 8-byte aligned.
@safe public struct ByteRing: @unchecked Sendable {
    // Safe because the handles divide the memory between them, and each is handed out once.
    private let bytes: UnsafeMutableRawPointer
    private let byteCount: Int
    private let indices: RingIndices

    /// Takes the memory of a ring; `byteCount` is a power of two of at least a page.
    public init(byteCount: Int) throws(SystemError) {
        precondition(byteCount >= 4096 && byteCount & (byteCount - 1) == 0, "a byte ring is a power of two of pages")
        guard let bytes = unsafe spillway_map_mirrored(byteCount) else {
            throw SystemError("mmap", "byte ring of \(byteCount) bytes")
        }
        // Touched once, like every other memory of the data plane.
        unsafe spillway_fill(bytes, 0, byteCount)
        let region = try MemoryRegion(byteCount: RingIndices.byteCount, pages: .off)
        unsafe (self.bytes, self.byteCount, self.indices) = (bytes, byteCount, RingIndices(region.base))
    }

    /// The writing end. May be called once.
    public func makeProducer() -> ByteRingProducer {
        indices.claim(.producer)
        return unsafe ByteRingProducer(bytes: bytes, byteCount: byteCount, indices: indices)
    }

    /// The reading end. May be called once.
    public func makeConsumer() -> ByteRingConsumer {
        indices.claim(.consumer)
        return unsafe ByteRingConsumer(bytes: bytes, byteCount: byteCount, indices: indices)
    }
}

/// The writing end of a byte ring.
@safe public struct ByteRingProducer: ~Copyable, @unchecked Sendable {
    // Safe because the mapping lives as long as the process and only this handle writes the free part of it.
    @usableFromInline let bytes: UnsafeMutableRawPointer
    @usableFromInline let mask: UInt64
    @usableFromInline let indices: RingIndices
    @usableFromInline var position: UInt64 = 0
    @usableFromInline var knownHead: UInt64 = 0

    init(bytes: UnsafeMutableRawPointer, byteCount: Int, indices: RingIndices) {
        unsafe self.bytes = bytes
        self.mask = UInt64(byteCount - 1)
        self.indices = indices
    }

    /// Room for one entry of `count` bytes (a multiple of 8), or nil if the ring is full.
    @_noLocks @inlinable @inline(__always)
    public mutating func reserve(_ count: Int) -> UnsafeMutableRawPointer? {
        let end = position &+ UInt64(truncatingIfNeeded: count)
        if end &- knownHead > mask &+ 1 {
            knownHead = unsafe indices.head.pointee.load(ordering: .acquiring)
            if end &- knownHead > mask &+ 1 { return nil }
        }
        return unsafe bytes + Int(truncatingIfNeeded: position & mask)
    }

    /// The entry last reserved is complete. It becomes visible at `publish()`.
    @_noLocks @inlinable @inline(__always)
    public mutating func commit(_ count: Int) {
        position &+= UInt64(truncatingIfNeeded: count)
    }

    /// Makes everything committed so far visible.
    @_noLocks @inlinable @inline(__always)
    public mutating func publish() {
        unsafe indices.tail.pointee.store(position, ordering: .releasing)
    }
}

/// The reading end of a byte ring.
@safe public struct ByteRingConsumer: ~Copyable, @unchecked Sendable {
    // Safe because only published bytes are read, and they stay unwritten until `release()`.
    @usableFromInline let bytes: UnsafeMutableRawPointer
    @usableFromInline let mask: UInt64
    @usableFromInline let indices: RingIndices
    @usableFromInline var position: UInt64 = 0
    @usableFromInline var knownTail: UInt64 = 0

    init(bytes: UnsafeMutableRawPointer, byteCount: Int, indices: RingIndices) {
        unsafe self.bytes = bytes
        self.mask = UInt64(byteCount - 1)
        self.indices = indices
    }

    /// The oldest entry, or nil. It stays valid until `release()`.
    @_noLocks @inlinable @inline(__always)
    public mutating func peek() -> UnsafeRawPointer? {
        if position == knownTail {
            knownTail = unsafe indices.tail.pointee.load(ordering: .acquiring)
            if position == knownTail { return nil }
        }
        return unsafe UnsafeRawPointer(bytes + Int(truncatingIfNeeded: position & mask))
    }

    /// Steps over the entry last seen, whose length in bytes this is.
    @_noLocks @inlinable @inline(__always)
    public mutating func consume(_ count: Int) {
        position &+= UInt64(truncatingIfNeeded: count)
    }

    /// Gives everything consumed so far back to the producer.
    @_noLocks @inlinable @inline(__always)
    public mutating func release() {
        unsafe indices.head.pointee.store(position, ordering: .releasing)
    }
}
