internal import CXDP
import Machine
public import Synchronization

/// One of the rings an AF_XDP socket shares with the kernel: two indices that only grow, flags, and entries
/// (Documentation/networking/af_xdp.rst).
@safe @usableFromInline struct XDPRing: @unchecked Sendable {
    // Safe because the mapping lives as long as the queue that owns the ring, and one thread uses it.
    @usableFromInline let producer: UnsafePointer<Atomic<UInt32>>
    @usableFromInline let consumer: UnsafePointer<Atomic<UInt32>>
    @usableFromInline let flags: UnsafePointer<Atomic<UInt32>>
    @usableFromInline let entries: UnsafeMutableRawPointer
    @usableFromInline let mask: UInt32
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int

    /// Maps a ring of a socket whose sizes are set.
    ///
    /// - Parameter count: entries, a power of two.
    init(socket: Int32, isFill: Bool, count: Int) throws(SystemError) {
        var offsets = xdp_mmap_offsets()
        let status = unsafe spillway_xdp_offsets(socket, &offsets)
        if status != 0 { throw SystemError("getsockopt", "XDP_MMAP_OFFSETS", code: status) }
        let place = isFill ? offsets.fr : offsets.rx
        // The fill ring holds addresses, the receive ring descriptors of two words.
        mappedBytes = Int(place.desc) + count * (isFill ? 8 : 16)
        guard let base = unsafe spillway_xdp_map_ring(socket, mappedBytes, isFill) else {
            throw SystemError("mmap", "AF_XDP ring")
        }
        unsafe mapping = base
        unsafe producer = UnsafePointer((base + Int(place.producer)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe consumer = UnsafePointer((base + Int(place.consumer)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe flags = UnsafePointer((base + Int(place.flags)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe entries = base + Int(place.desc)
        mask = UInt32(count - 1)
    }

    /// Gives the mapping back, which keeps the socket alive until then.
    func unmap() { unsafe munmap(mapping, mappedBytes) }
}
