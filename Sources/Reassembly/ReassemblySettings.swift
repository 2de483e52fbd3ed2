internal import Machine

/// How fragments are put together, and in how much memory.
public struct ReassemblySettings: Sendable {
    /// What becomes of a datagram whose fragments overlap.
    public var policy = OverlapPolicy.drop
    /// Nanoseconds from the first fragment of a datagram after which the others are not waited for any more.
    public var timeout: UInt64 = 30_000_000_000
    /// Memory for fragments and the table, in bytes.
    public var memory = 16 << 20

    /// The defaults.
    public init() {}

    /// The least memory: some dozens of datagrams, one of 64 KiB in fragments of an MTU of 1500 among them.
    public static var leastMemory: Int { 256 << 10 }
}

/// How the memory is shared out: places for datagrams, and two blocks for frames to each of them, so that a flood of
/// small fragments that never become a datagram finds the table as full as the memory.
struct ReassemblyLayout {
    let datagrams: Int
    let blocks: Int
    let tableBytes: Int
    /// Who covers which eight bytes of a datagram with overlaps.
    static let ownersBytes = OwnerMap.byteCount

    init(memory: Int) {
        var datagrams = 1
        func bytes(_ datagrams: Int) -> Int {
            roundUp(DatagramTable.byteCount(capacity: datagrams), 64) + 2 * datagrams * FrameStore.blockBytes
        }
        let room = memory - Self.ownersBytes
        // The number of buckets grows in steps, so the greatest number that fits is searched for.
        var step = 1 << 40
        while step > 0 {
            if bytes(datagrams + step) <= room { datagrams += step }
            step /= 2
        }
        self.datagrams = datagrams
        tableBytes = roundUp(DatagramTable.byteCount(capacity: datagrams), 64)
        blocks = (room - tableBytes) / FrameStore.blockBytes
    }
}
