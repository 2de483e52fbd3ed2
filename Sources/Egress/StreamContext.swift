internal import CMachine
internal import Machine
internal import Pcapng

/// What every stream of a run has in common: its beginning, its interfaces, its statistics.
@safe struct StreamContext: BitwiseCopyable {
    // Safe because all of it lies in memory that lives as long as the process.
    var limits: StreamLimits
    let interfaces: InterfaceView
    let sectionHeader: UnsafeRawBufferPointer
    let lanes: LaneBlocks
    /// END, code 0.
    let endBlock: UnsafeRawBufferPointer
    let run: RunIdentity
    let classicMicroseconds: UnsafeRawBufferPointer
    let classicNanoseconds: UnsafeRawBufferPointer
    let statistics: StatisticsBlocks
    /// No packet will come any more.
    var inputEnded = false

    /// The limits the data plane looks at.
    struct StreamLimits: BitwiseCopyable {
        var scratchBytes: Int
        var ackWindow: Int
        var statisticsInterval: UInt64
    }
}

/// The latest Interface Statistics Blocks, ready to be copied into a stream. Written and read by the egress thread.
@safe struct StatisticsBlocks: BitwiseCopyable {
    // Safe because one thread owns it and its memory lives as long as the process.
    static let capacity = 256
    static let blockBytes = 128
    private let memory: UnsafeMutableRawPointer
    private let counts: UnsafeMutablePointer<Int>

    init() throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.capacity * Self.blockBytes + 4096, pages: .off)
        unsafe memory = region.base + 4096
        unsafe counts = region.base.bindMemory(to: Int.self, capacity: 2)
    }

    /// Replaces the blocks. Control plane.
    func replace(_ blocks: [(interface: UInt32, bytes: [UInt8])]) {
        var place = 0
        for block in blocks.prefix(Self.capacity) where block.bytes.count <= Self.blockBytes - 8 {
            let target = unsafe memory + place * Self.blockBytes
            unsafe target.storeBytes(of: block.interface, as: UInt32.self)
            unsafe target.storeBytes(of: UInt32(block.bytes.count), toByteOffset: 4, as: UInt32.self)
            unsafe block.bytes.withUnsafeBytes { unsafe spillway_copy(target + 8, $0.baseAddress!, $0.count) }
            place += 1
        }
        unsafe counts.pointee = place
    }

    /// Copies the blocks of interfaces below `interfaces` and returns their bytes.
    @_noLocks func copy(to target: UnsafeMutableRawPointer, capacity: Int, interfaces: Int) -> Int {
        var used = 0
        var place = 0
        while unsafe place < counts.pointee {
            let source = unsafe memory + place * 128
            let length = Int(unsafe source.load(fromByteOffset: 4, as: UInt32.self))
            if unsafe source.load(as: UInt32.self) < UInt32(truncatingIfNeeded: interfaces), used + length <= capacity {
                unsafe spillway_copy(target + used, source + 8, length)
                used += length
            }
            place += 1
        }
        return used
    }
}
