public import Pcapng

/// What a section says of a run before its batches: the interfaces, in the order of their ids, and the lanes.
public struct RunDescription: Sendable {
    /// Interfaces a run can have, and bytes of their descriptions; what a relay keeps to as well.
    public static let interfaceLimit = InterfaceRegistry.capacity, byteLimit = InterfaceRegistry.byteCapacity
    /// Lanes a run can have.
    public static let laneLimit = 4096

    /// The run.
    public let run: RunIdentity
    /// Whole Interface Description Blocks.
    public private(set) var interfaces: [[UInt8]] = []
    /// The checksum of the first n + 1 descriptions.
    public private(set) var checksums: [UInt32] = []
    /// Whole lane blocks, in the order in which they came.
    public private(set) var lanes: [[UInt8]] = []
    /// The link type of all interfaces; nil as long as there is none.
    public private(set) var linkType: UInt16?
    private var laneNumbers: Set<UInt16> = []
    /// The latest Interface Statistics Block of each interface, and in which order they came.
    public private(set) var statistics: [UInt32: (order: UInt64, block: [UInt8])] = [:]
    /// How many statistics blocks came so far.
    public private(set) var statisticsCount: UInt64 = 0
    private var byteCount = 0

    /// A run of which nothing is known.
    public init(run: RunIdentity) { self.run = run }

    /// Adds an interface. False, and nothing is changed, if it is no whole description with our snapshot length and
    /// resolution, if it has another link type than those before, or if there are too many.
    public mutating func add(interface block: [UInt8]) -> Bool {
        guard let type = Self.linkType(of: block), linkType == nil || linkType == type,
            interfaces.count < Self.interfaceLimit, byteCount + block.count <= Self.byteLimit
        else { return false }
        linkType = type
        interfaces.append(block)
        byteCount += block.count
        checksums.append(block.checksum(continuing: checksums.last ?? 0))
        return true
    }

    /// Adds a lane, unless it is known. False if the block is not one, or if there are too many.
    public mutating func add(lane block: [UInt8]) -> Bool {
        guard block.count >= 36, block.count <= 100, laneNumbers.count < Self.laneLimit else { return false }
        let number = UInt16(block[10]) | UInt16(block[11]) << 8
        if laneNumbers.insert(number).inserted { lanes.append(block) }
        return true
    }

    /// Whether a lane is described.
    func describes(lane: UInt16) -> Bool { laneNumbers.contains(lane) }

    /// The destination whose share a lane is; nil where it is everybody's, or not described.
    func owner(ofLane lane: UInt16) -> String? {
        for block in lanes where UInt16(block[10]) | UInt16(block[11]) << 8 == lane {
            let count = Int(block[14])
            guard count > 0, 32 + count <= block.count - 4 else { return nil }
            return String(decoding: block[32..<32 + count], as: UTF8.self)
        }
        return nil
    }

    /// Takes in an Interface Statistics Block. False if it is none, or of an interface that is not described.
    public mutating func add(statistics block: [UInt8]) -> Bool {
        var source = ByteSource(block)
        guard block.count >= 24, block.count <= 512, (try? source.take(8)) != nil,
            let interface: UInt32 = try? source.number(), interface < UInt32(interfaces.count)
        else { return false }
        statisticsCount += 1
        statistics[interface] = (statisticsCount, block)
        return true
    }

    /// The statistics blocks that came after the first `count`, in their order.
    public func statistics(since count: UInt64) -> [[UInt8]] {
        if count == statisticsCount { return [] }
        return statistics.values.filter { $0.order > count }.sorted { $0.order < $1.order }.map(\.block)
    }

    /// Takes over what another description of the same run says beyond this one. False if they contradict each other.
    public mutating func extend(with other: RunDescription) -> Bool {
        let common = min(checksums.count, other.checksums.count)
        guard common == 0 || checksums[common - 1] == other.checksums[common - 1] else { return false }
        for block in other.interfaces.dropFirst(common) where !add(interface: block) { return false }
        for block in other.lanes where !add(lane: block) { return false }
        return true
    }

    /// Whether the checksum of a trailer is that of some first n descriptions, n greater than `greatest`.
    public func matches(_ checksum: UInt32, greatest: UInt32) -> Bool {
        // Nearly always all of them are meant.
        guard greatest < UInt32(checksums.count) else { return false }
        return checksums[Int(greatest)...].reversed().contains(checksum)
    }

    /// The link type a description block says; nil unless it is one as Spillway writes it (docs/format.md).
    public static func linkType(of block: [UInt8]) -> UInt16? {
        var source = ByteSource(block)
        do throws(FormatFault) {
            let type: UInt32 = try source.number()
            let length: UInt32 = try source.number()
            let linkType: UInt16 = try source.number()
            let zero: UInt16 = try source.number()
            let snapshot: UInt32 = try source.number()
            guard type == BlockType.interfaceDescription, Int(length) == block.count, zero == 0,
                snapshot == UInt32(BlockType.snapshotLength), try hasNanoseconds(&source)
            else { return nil }
            let again: UInt32 = try source.number()
            return again == length && source.remaining == 0 ? linkType : nil
        } catch {
            return nil
        }
    }

    /// Goes over the options of a description: each within the block, times in nanoseconds, the end at the end.
    private static func hasNanoseconds(_ source: inout ByteSource) throws(FormatFault) -> Bool {
        var isNanoseconds = false
        while source.remaining > 4 {
            let code: UInt16 = try source.number()
            let count: UInt16 = try source.number()
            if code == 0 { return count == 0 && isNanoseconds && source.remaining == 4 }
            let value = try source.take((Int(count) + 3) & ~3)
            if code == 9 { isNanoseconds = count == 1 && value.first == 9 }
            if code == 14, count != 8 || value.contains(where: { $0 != 0 }) { return false }
        }
        return false
    }
}
