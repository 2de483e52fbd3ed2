internal import CMachine
internal import Machine

/// What came from the other side and is not used up, in fixed memory.
@safe struct Inbox: ~Copyable {
    // Safe because the memory lives as long as the process and `end` never passes the capacity.
    private let region: MemoryRegion
    private var first = 0
    private var end = 0

    /// Room for the longest block a collector may send.
    static let capacity = 65536

    init(capacity: Int) throws(SystemError) {
        region = try MemoryRegion(byteCount: capacity, pages: .off)
    }

    /// Bytes that are there.
    var count: Int { @_noLocks get { end - first } }
    /// The first of them.
    var start: UnsafeRawPointer { unsafe UnsafeRawPointer(region.base + first) }
    /// The longest block that can come in.
    var capacity: Int { region.byteCount }

    /// Takes what the socket has; the count, or a negative errno as `spillway_receive` gives it.
    mutating func receive(_ descriptor: Int32) -> Int {
        if first > 0 {
            unsafe region.base.copyMemory(from: region.base + first, byteCount: count)
            (first, end) = (0, count)
        }
        let got = unsafe spillway_receive(descriptor, region.base + end, region.byteCount - end)
        if got > 0 { end += got }
        return got
    }

    /// These first bytes are used up.
    @_noLocks mutating func consume(_ bytes: Int) { first += bytes }

    /// All of it is.
    @_noLocks mutating func clear() { (first, end) = (0, 0) }
}
