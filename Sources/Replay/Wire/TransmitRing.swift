internal import CXDP
internal import Glibc
internal import Machine
internal import Synchronization

/// One of the two rings of an AF_XDP socket that sends: two indices that only grow, flags, and entries
/// (Documentation/networking/af_xdp.rst).
@safe struct TransmitRing: @unchecked Sendable {
    // Safe because the mapping lives as long as the queue that owns the ring, and one thread uses it.
    let producer: UnsafePointer<Atomic<UInt32>>
    let consumer: UnsafePointer<Atomic<UInt32>>
    let flags: UnsafePointer<Atomic<UInt32>>
    let entries: UnsafeMutableRawPointer
    let mask: UInt32
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int

    /// Maps a ring of a socket whose sizes are set.
    ///
    /// - Parameter count: entries, a power of two.
    init(socket: Int32, isCompletion: Bool, count: Int) throws(SystemError) {
        var offsets = xdp_mmap_offsets()
        let status = unsafe spillway_xdp_offsets(socket, &offsets)
        if status != 0 { throw SystemError("getsockopt", "XDP_MMAP_OFFSETS", code: status) }
        let place = isCompletion ? offsets.cr : offsets.tx
        // The completion ring holds addresses, the transmit ring descriptors of two words.
        mappedBytes = Int(place.desc) + count * (isCompletion ? 8 : 16)
        guard let base = unsafe spillway_transmit_map_ring(socket, mappedBytes, isCompletion) else {
            throw SystemError("mmap", "AF_XDP ring")
        }
        unsafe mapping = base
        unsafe producer = UnsafePointer((base + Int(place.producer)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe consumer = UnsafePointer((base + Int(place.consumer)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe flags = UnsafePointer((base + Int(place.flags)).assumingMemoryBound(to: Atomic<UInt32>.self))
        unsafe entries = base + Int(place.desc)
        mask = UInt32(count - 1)
    }

    /// Gives the mapping back.
    func unmap() { unsafe munmap(mapping, mappedBytes) }
}
