internal import Machine
internal import Pcapng

/// The run's ids of one file's interfaces, by their place in the file, in fixed memory so that the data plane can look.
@safe struct InterfaceMap: @unchecked Sendable {
    // Safe because places are checked against the capacity, and one thread uses it.
    private let entries: UnsafeMutablePointer<InterfaceIDs.Entry>
    private var count = 0
    /// Interfaces that had no packet yet, with what to register once they have.
    private var waiting: [Int: InterfaceLabel] = [:]

    /// Memory of the map, for the budget.
    static let byteCount = InterfaceRegistry.capacity * 8

    init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.byteCount, pages: .off)
        unsafe entries = region.base.bindMemory(to: InterfaceIDs.Entry.self, capacity: InterfaceRegistry.capacity)
    }

    /// Forgets the interfaces of the file before.
    mutating func removeAll() {
        count = 0
        waiting = [:]
    }

    /// Whether there is room for another interface.
    var isFull: Bool { count == InterfaceRegistry.capacity }

    /// Adds the next interface.
    mutating func append(id: UInt32) {
        unsafe entries[count] = InterfaceIDs.Entry(id: id, version: 0)
        count += 1
    }

    /// Adds an interface that is to be registered at its first packet.
    mutating func append(waiting label: InterfaceLabel) {
        waiting[count] = label
        unsafe entries[count] = InterfaceIDs.Entry(id: 0, version: InterfaceIDs.unknown)
        count += 1
    }

    /// The label of an interface that waits for its first packet.
    func waitingLabel(_ place: UInt32) -> InterfaceLabel? { waiting[Int(place)] }

    /// All that wait, in the order of the file.
    var waitingLabels: [(place: UInt32, label: InterfaceLabel)] {
        waiting.sorted { $0.key < $1.key }.map { (UInt32($0.key), $0.value) }
    }

    /// Settles an interface; `version` is 4 or 6 for raw IP, otherwise 0.
    mutating func settle(_ place: UInt32, id: UInt32, version: UInt8) {
        waiting[Int(place)] = nil
        unsafe entries[Int(place)] = InterfaceIDs.Entry(id: id, version: version)
    }

    /// What the data plane looks at.
    var ids: InterfaceIDs { unsafe InterfaceIDs(entries: entries) }
}

/// The data plane's view of an ``InterfaceMap``.
@safe struct InterfaceIDs: BitwiseCopyable, @unchecked Sendable {
    // Safe for the same reasons as the map, which owns the memory.
    fileprivate let entries: UnsafeMutablePointer<Entry>

    fileprivate struct Entry: BitwiseCopyable {
        var id: UInt32
        /// 4 or 6 for raw IP, 0 for any other link type; `unknown` before the first packet.
        var version: UInt8
    }

    fileprivate static var unknown: UInt8 { @_noLocks get { 255 } }

    /// The run's id, or nil if there is none yet, or the packet cannot go with it: raw IP of the other version.
    @_noLocks func id(_ place: UInt32, _ bytes: UnsafeRawPointer, captured: UInt32) -> UInt32? {
        let entry = unsafe entries[Int(place)]
        if entry.version == 0 { return entry.id }
        let isSame = unsafe captured > 0 && bytes.load(as: UInt8.self) >> 4 == entry.version
        return isSame ? entry.id : nil
    }
}
