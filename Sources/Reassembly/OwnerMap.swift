/// Which fragment's bytes stay where fragments overlap: one number for each eight bytes of a datagram, the unit in which
/// fragments begin and, but for the last one's end, end.
@safe struct OwnerMap {
    // Safe because the memory is the creator's gift for good, and every unit lies below `units`.
    private let owners: UnsafeMutablePointer<UInt32>

    private static var units: Int { 65536 / 8 }
    static var byteCount: Int { units * 4 }
    /// Nobody yet.
    static var nobody: UInt32 { @_noLocks @inline(__always) get { .max } }

    init(memory: UnsafeMutableRawPointer) {
        unsafe owners = memory.bindMemory(to: UInt32.self, capacity: Self.units)
    }

    /// Nobody owns any of the first `length` bytes.
    @_noLocks
    func clear(_ length: Int) {
        var unit = 0
        while unit * 8 < length {
            unsafe owners[unit] = Self.nobody
            unit += 1
        }
    }

    /// The owner of the eight bytes at a multiple of 8.
    subscript(offset: Int) -> UInt32 {
        @_noLocks @inline(__always)
        get { unsafe owners[offset / 8] }
        @_noLocks @inline(__always)
        nonmutating set { unsafe owners[offset / 8] = newValue }
    }
}
