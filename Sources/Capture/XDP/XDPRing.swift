internal import CXDP
public import Machine
public import Synchronization

/// Which of the rings of an AF_XDP socket: the fill and the completion ring hold addresses of frames, the receive and the
/// transmit ring descriptors of two words.
public enum XDPRingKind: Sendable {
    case fill, receive, completion, transmit
}

/// One of the rings an AF_XDP socket shares with the kernel: two indices that only grow, flags, and entries
/// (Documentation/networking/af_xdp.rst).
@safe public struct XDPRing: @unchecked Sendable {
    // Safe because the mapping lives as long as the queue that owns the ring, and one thread uses it.
    /// How many entries were ever put in.
    public let producer: UnsafePointer<Atomic<UInt32>>
    /// How many were ever taken out.
    public let consumer: UnsafePointer<Atomic<UInt32>>
    /// Whether the kernel wants to be woken (XDP_RING_NEED_WAKEUP).
    public let flags: UnsafePointer<Atomic<UInt32>>
    /// The first entry.
    public let entries: UnsafeMutableRawPointer
    /// What makes a place of an index.
    public let mask: UInt32
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int

    /// Maps a ring of a socket whose sizes are set.
    ///
    /// - Parameter count: entries, a power of two.
    public init(socket: Int32, _ kind: XDPRingKind, count: Int) throws(SystemError) {
        var offsets = xdp_mmap_offsets()
        let status = unsafe spillway_xdp_offsets(socket, &offsets)
        if status != 0 { throw SystemError("getsockopt", "XDP_MMAP_OFFSETS", code: status) }
        let (ring, entryBytes, page) =
            switch kind {
            case .fill: (offsets.fr, 8, Int64(XDP_UMEM_PGOFF_FILL_RING))
            case .completion: (offsets.cr, 8, Int64(XDP_UMEM_PGOFF_COMPLETION_RING))
            case .receive: (offsets.rx, 16, Int64(XDP_PGOFF_RX_RING))
            case .transmit: (offsets.tx, 16, Int64(XDP_PGOFF_TX_RING))
            }
        mappedBytes = Int(ring.desc) + count * entryBytes
        guard let base = unsafe spillway_xdp_map_ring(socket, mappedBytes, page) else {
            throw SystemError("mmap", "AF_XDP ring")
        }
        unsafe mapping = base
        unsafe producer = UnsafePointer((base + Int(ring.producer)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe consumer = UnsafePointer((base + Int(ring.consumer)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe flags = UnsafePointer((base + Int(ring.flags)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe entries = base + Int(ring.desc)
        mask = UInt32(count - 1)
    }

    /// Gives the mapping back, which keeps the socket alive until then.
    public func unmap() { unsafe munmap(mapping, mappedBytes) }
}
