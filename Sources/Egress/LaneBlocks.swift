internal import CMachine
internal import Machine

/// The lane blocks of the run, one behind the other. Lanes are only ever added, so that a connection need only remember how
/// far it has told them.
@safe struct LaneBlocks: BitwiseCopyable {
    // Safe because one thread owns it, its memory lives as long as the process, and what was written stays.
    private let base: UnsafeMutableRawPointer
    private let used: UnsafeMutablePointer<Int>

    /// Room for the blocks of all 256 lanes with the longest names.
    private static let capacity = 256 * 112

    init(_ blocks: [UInt8]) throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.capacity + 4096, pages: .off)
        unsafe used = region.base.bindMemory(to: Int.self, capacity: 1)
        unsafe base = region.base + 4096
        append(blocks)
    }

    /// More lanes. Control plane.
    func append(_ blocks: [UInt8]) {
        precondition(unsafe used.pointee + blocks.count <= Self.capacity, "no more than 256 lanes")
        unsafe blocks.withUnsafeBytes { unsafe spillway_copy(base + used.pointee, $0.baseAddress!, $0.count) }
        unsafe used.pointee += blocks.count
    }

    /// Bytes of all blocks.
    var byteCount: Int { @_noLocks get { unsafe used.pointee } }

    /// Those behind the first `told` bytes.
    @_noLocks func rest(after told: Int) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(base + told), count: used.pointee - told)
    }
}
