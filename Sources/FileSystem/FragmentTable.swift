import Glibc

/// The flows of fragmented datagrams, by datagram: where later fragments go is known from the first.
///
/// 16,384 of them; in a full set the entry that was made longest ago goes.
///
/// SAFETY: it owns its memory, and every index is below the number of entries.
@safe struct FragmentTable: ~Copyable, @unchecked Sendable {
    private struct Entry: BitwiseCopyable {
        var datagram: UInt64
        var hash: UInt64
        var made: UInt64
    }

    private let entries: UnsafeMutablePointer<Entry>
    private var count: UInt64 = 0

    private static var sets: UInt64 { @_noLocks get { 2048 } }
    private static var ways: Int { @_noLocks get { 8 } }

    init() {
        let capacity = Int(Self.sets) * Self.ways
        unsafe entries = .allocate(capacity: capacity)
        unsafe entries.initialize(repeating: Entry(datagram: 0, hash: 0, made: 0), count: capacity)
    }

    deinit { unsafe entries.deallocate() }

    /// The flow of a datagram.
    @_noLocks
    func hash(of datagram: UInt64) -> UInt64? {
        let set = unsafe self.set(datagram)
        for way in 0..<Self.ways where unsafe set[way].datagram == datagram { return unsafe set[way].hash }
        return nil
    }

    /// Notes the flow of a datagram.
    @_noLocks
    mutating func note(_ datagram: UInt64, _ hash: UInt64) {
        let set = unsafe self.set(datagram)
        count &+= 1
        var oldest = 0
        for way in 0..<Self.ways {
            if unsafe set[way].datagram == datagram {
                oldest = way
                break
            }
            if unsafe set[way].made < set[oldest].made { oldest = way }
        }
        unsafe set[oldest] = Entry(datagram: datagram, hash: hash, made: count)
    }

    @_noLocks
    private func set(_ datagram: UInt64) -> UnsafeMutablePointer<Entry> {
        unsafe entries + Int(truncatingIfNeeded: (datagram >> 20) & (Self.sets &- 1)) * Self.ways
    }
}
