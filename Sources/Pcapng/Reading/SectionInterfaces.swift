/// What a packet block needs to know of its interface.
struct InterfaceEntry: BitwiseCopyable {
    /// The index over the whole input.
    let index: UInt32
    let snapLength: UInt32
    let scale: TimestampScale

    @_noLocks
    init(index: UInt32, snapLength: UInt32, scale: TimestampScale) {
        self.index = index
        self.snapLength = snapLength
        self.scale = scale
    }
}

/// The interfaces of the current section, by their number in it.
///
/// SAFETY: it owns its storage, of which the first `count` entries are initialised; the subscript checks.
@safe
struct SectionInterfaces: ~Copyable, @unchecked Sendable {
    private var entries: UnsafeMutablePointer<InterfaceEntry>
    private var capacity: Int
    private(set) var count: UInt32 = 0

    init() {
        capacity = 16
        unsafe entries = .allocate(capacity: capacity)
    }

    deinit { unsafe entries.deallocate() }

    /// Forgets all interfaces: a new section begins.
    @_noLocks
    mutating func removeAll() { count = 0 }

    /// Adds an interface. Allocates now and then, so it is for the control plane only.
    mutating func append(_ entry: InterfaceEntry) {
        if Int(count) == capacity {
            let larger = UnsafeMutablePointer<InterfaceEntry>.allocate(capacity: capacity * 2)
            unsafe larger.moveInitialize(from: entries, count: capacity)
            unsafe entries.deallocate()
            unsafe entries = larger
            capacity *= 2
        }
        unsafe (entries + Int(count)).initialize(to: entry)
        count += 1
    }

    @_noLocks @inline(__always)
    subscript(number: UInt32) -> InterfaceEntry {
        precondition(number < count)
        return unsafe entries[Int(number)]
    }
}
