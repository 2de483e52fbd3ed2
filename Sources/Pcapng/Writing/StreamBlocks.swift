/// What an interface description says beside the constants every one of ours carries.
public struct InterfaceLabel: Sendable, Equatable {
    /// Link type (LINKTYPE_ number); never 101.
    public var linkType: UInt16
    /// Name of the device (if_name).
    public var name: String?
    /// Description of the device (if_description).
    public var summary: String?
    /// Capture filter in libpcap's language.
    public var filter: String?
    /// Hardware of the interface (if_hardware).
    public var hardware: String?
    /// Operating system of the capturing machine (if_os).
    public var system: String?
    /// Bytes of frame check sequence at the end of each packet, if known.
    public var fcsLength: UInt8?

    /// A label of this link type with nothing else known.
    public init(linkType: UInt16, name: String? = nil) {
        self.linkType = linkType
        self.name = name
    }
}

/// The blocks around records: section header, interface description, lane, statistics.
public enum StreamBlocks {
    /// A Section Header Block: little endian, version 1.0, length unknown.
    public static func sectionHeader(hardware: String?, system: String?, application: String) -> [UInt8] {
        var out = BlockBuilder()
        out.block(BlockType.sectionHeader) { body in
            body.append(UInt32(0x1A2B_3C4D))
            body.append(UInt16(1))
            body.append(UInt16(0))
            body.append(UInt64.max)
            body.option(2, text: hardware)
            body.option(3, text: system)
            body.option(4, text: application)
            body.endOfOptions()
        }
        return out.bytes
    }

    /// An Interface Description Block: snapshot length 262144, nanoseconds.
    public static func interface(_ label: InterfaceLabel) -> [UInt8] {
        var out = BlockBuilder()
        out.block(BlockType.interfaceDescription) { body in
            body.append(label.linkType)
            body.append(UInt16(0))
            body.append(UInt32(BlockType.snapshotLength))
            body.option(2, text: label.name)
            body.option(3, text: label.summary)
            body.option(9, [9])
            if let filter = label.filter, !filter.isEmpty { body.option(11, [0] + Array(filter.utf8)) }
            body.option(12, text: label.system)
            if let fcs = label.fcsLength { body.option(13, [fcs]) }
            body.option(15, text: label.hardware)
            body.endOfOptions()
        }
        return out.bytes
    }

    /// What a lane is for; precedes the first batch of the lane in every file and connection.
    public enum LaneKind: UInt16, Sendable {
        case live = 0
        case diverted = 1
    }

    /// A lane block (local use, docs/format.md).
    public static func lane(_ number: UInt16, kind: LaneKind, run: RunIdentity, destination: String) -> [UInt8] {
        var out = BlockBuilder()
        let name = Array(destination.utf8.prefix(64))
        out.block(BlockType.lane) { body in
            body.append(UInt16(1))
            body.append(number)
            body.append(kind.rawValue)
            body.append(UInt16(name.count))
            body.append(run.low)
            body.append(run.high)
            body.append(bytes: name)
        }
        return out.bytes
    }

    /// Counts of one interface since the start of the run.
    public struct Statistics: Sendable {
        /// Packets that reached the interface; dropped by it; passed the filter; dropped by the system; delivered.
        public var received: UInt64 = 0, dropped: UInt64 = 0, accepted: UInt64 = 0
        public var systemDropped: UInt64 = 0, delivered: UInt64 = 0

        /// All zero.
        public init() {}
    }

    /// An Interface Statistics Block.
    public static func statistics(interface: UInt32, time: UInt64, start: UInt64, _ counts: Statistics) -> [UInt8] {
        func stamp(_ time: UInt64) -> [UInt8] {
            var bytes = BlockBuilder()
            bytes.append(UInt32(time >> 32))
            bytes.append(UInt32(truncatingIfNeeded: time))
            return bytes.bytes
        }
        var out = BlockBuilder()
        out.block(BlockType.interfaceStatistics) { body in
            body.append(interface)
            body.append(bytes: stamp(time))
            body.option(2, stamp(start))
            body.option(3, stamp(time))
            body.option(4, number: counts.received)
            body.option(5, number: counts.dropped)
            body.option(6, number: counts.accepted)
            body.option(7, number: counts.systemDropped)
            body.option(8, number: counts.delivered)
            body.endOfOptions()
        }
        return out.bytes
    }
}
