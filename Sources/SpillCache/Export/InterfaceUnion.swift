public import Pcapng

/// Puts the interface lists of several runs together into one: each description once.
public struct InterfaceUnion: Sendable {
    /// Whole Interface Description Blocks; the place of one is its id in the common list.
    public private(set) var interfaces: [[UInt8]] = []
    /// From a run's interface ids to those of the common list.
    public private(set) var maps: [[UInt32]] = []
    /// The latest statistics blocks, by run and by interface of the common list.
    public private(set) var statistics: [RunIdentity: [UInt32: [UInt8]]] = [:]
    private var numbers: [[UInt8]: UInt32] = [:]
    private var places: [RunIdentity: UInt32] = [:]
    private var seen: [RunIdentity: UInt64] = [:]

    /// Of no runs.
    public init() {}

    /// The number of a run's map, extended to what its section says now.
    public mutating func map(for description: RunDescription) -> UInt32 {
        note(description)
        return places[description.run]!
    }

    /// Takes in what a section says.
    public mutating func note(_ description: RunDescription) {
        let place = places[description.run] ?? UInt32(maps.count)
        if place == maps.count {
            places[description.run] = place
            maps.append([])
        }
        let known = maps[Int(place)].count
        // A section of the same run that begins anew may say less than one before; ids mean the same in both.
        for block in description.interfaces.dropFirst(known) {
            let number = numbers[block] ?? UInt32(interfaces.count)
            if number == interfaces.count {
                numbers[block] = number
                interfaces.append(block)
            }
            maps[Int(place)].append(number)
        }
        guard seen[description.run] != description.statisticsCount else { return }
        seen[description.run] = description.statisticsCount
        for (interface, entry) in description.statistics where Int(interface) < maps[Int(place)].count {
            let target = maps[Int(place)][Int(interface)]
            let before = statistics[description.run]?[target]
            if let before, Self.time(of: before) > Self.time(of: entry.block) { continue }
            statistics[description.run, default: [:]][target] = entry.block
        }
    }

    /// Maps that change nothing are empty.
    public var simplified: [[UInt32]] { maps.map { Self.isIdentity($0) ? [] : $0 } }

    /// Whether a map changes nothing.
    public static func isIdentity(_ map: [UInt32]) -> Bool {
        map.enumerated().allSatisfy { $0.offset == Int($0.element) }
    }

    /// The time of a statistics block, whose upper half comes first.
    private static func time(of block: [UInt8]) -> UInt64 {
        var source = ByteSource(block.dropFirst(12))
        guard let high: UInt32 = try? source.number(), let low: UInt32 = try? source.number() else { return 0 }
        return UInt64(high) << 32 | UInt64(low)
    }
}
