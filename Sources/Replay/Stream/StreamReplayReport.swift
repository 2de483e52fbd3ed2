public import Telemetry

/// What became of a replay to destinations.
public struct StreamReplayReport: Sendable {
    /// One destination.
    public struct Destination: Sendable {
        /// Its name and address.
        public var name = "", address = ""
        /// Whether it has acknowledged.
        public var acknowledges = false
        /// Batches and packets that it has acknowledged, or its TCP where it does not; bytes that were sent.
        public var batches: UInt64 = 0, packets: UInt64 = 0, bytes: UInt64 = 0
        /// Batches and packets it had already.
        public var knownBatches: UInt64 = 0, knownPackets: UInt64 = 0
        /// Batches and packets it has not got.
        public var unsentBatches: UInt64 = 0, unsentPackets: UInt64 = 0
        /// Connections after the first.
        public var reconnects: UInt64 = 0
        /// Why it has not got everything.
        public var problem: String?
    }

    /// The destinations.
    public var destinations: [Destination] = []
    /// Batches and packets there are.
    public var batches: UInt64 = 0, packets: UInt64 = 0
    /// Places in the cache that do not check, which are left out.
    public var damagedPlaces = 0
    /// What is wrong with files, a line for each place.
    public var problems: [String] = []
    /// How long it took.
    public var seconds = 0.0

    /// Lines for people.
    public var lines: [String] {
        var lines = [batches > 0 ? "\(packets) packets in \(batches) batches" : "\(packets) packets"]
        for one in destinations {
            var line = "\(one.name): \(one.packets) packets delivered, \(one.bytes) bytes"
            if one.knownBatches > 0 { line += "; \(one.knownPackets) were there already" }
            if one.unsentPackets > 0 { line += "; \(one.unsentPackets) not delivered" }
            if let problem = one.problem { line += ": \(problem)" }
            lines.append(line)
        }
        if damagedPlaces > 0 { lines.append("left out what is damaged, at \(damagedPlaces) places:") }
        return lines + problems
    }

    /// The report as JSON.
    public var json: JSONValue {
        .object([
            ("seconds", .fraction(seconds)), ("batches", .number(batches)), ("packets", .number(packets)),
            ("damaged_places", .number(UInt64(damagedPlaces))),
            ("problems", .array(problems.map(JSONValue.string))),
            (
                "destinations",
                .array(
                    destinations.map { one in
                        .object([
                            ("name", .string(one.name)), ("address", .string(one.address)),
                            ("acknowledges", .bool(one.acknowledges)), ("delivered", .number(one.packets)),
                            ("batches", .number(one.batches)), ("delivered_bytes", .number(one.bytes)),
                            ("known", .number(one.knownPackets)), ("undelivered", .number(one.unsentPackets)),
                            ("reconnects", .number(one.reconnects)),
                            ("problem", one.problem.map(JSONValue.string) ?? .null),
                        ])
                    })
            ),
        ])
    }
}
