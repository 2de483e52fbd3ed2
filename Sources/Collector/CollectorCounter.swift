/// Every figure of a collector, declared once: from this table come the report's names, the metrics and the table.
public enum CollectorCounter: String, CaseIterable, Sendable {
    case packets, bytes, batches, duplicates, corrupt, files
    case connections, sessions
    case excluded, journalDamage, forgottenRuns
    case refusedNotAllowed, refusedBusy, refusedTimeout, refusedPlainStream, refusedProof, refusedVersion
    case refusedName, refusedLimit, refusedMalformed, refusedSilent, refusedMemory
    case storageStops, sealRetries

    /// What is said about a figure.
    public struct Entry: Sendable {
        /// Name in the report; with `reason` a key inside an object of that name.
        public let report: String
        /// The reason, for connections that were ended.
        public let reason: String?
        /// Metric name without `spillway_collect_` and `_total`.
        public let metric: String
        /// One line of documentation.
        public let help: String
    }

    /// The table's line.
    public var entry: Entry {
        switch self {
        case .packets: Self.count("packets", "Packets accepted, each once")
        case .bytes: Self.count("bytes", "Bytes of accepted batches")
        case .batches: Self.count("batches", "Batches accepted, each once")
        case .duplicates: Self.count("duplicates", "Batches that were there already, acknowledged and thrown away")
        case .corrupt: Self.count("corrupt", "Batches that failed their checks; each ended its connection")
        case .files: Self.count("files", "Finished files")
        case .connections: Self.count("connections", "Connections accepted from peers")
        case .sessions: Self.count("sessions", "Connections on which a sensor presented itself")
        case .excluded: Self.count("excluded", "Batch numbers of which a sensor said that they never come")
        case .journalDamage: Self.count("journal_damage", "Damaged places found in the journal or in state files")
        case .forgottenRuns: Self.count("forgotten_runs", "Runs nobody presented for 7 days, or whose place was needed")
        case .refusedNotAllowed: Self.refusal("not_allowed", "The peer's address is not in --allow")
        case .refusedBusy: Self.refusal("busy", "Too many connections that have not shown who they are, or in all")
        case .refusedTimeout: Self.refusal("timeout", "The peer did not show in time who it is")
        case .refusedPlainStream: Self.refusal("plain_stream", "The peer sent something else than a session")
        case .refusedProof: Self.refusal("proof", "Wrong token")
        case .refusedVersion: Self.refusal("version", "No common version of the protocol")
        case .refusedName: Self.refusal("name", "A run of another sensor or destination, or a name that is not allowed")
        case .refusedLimit: Self.refusal("limit", "A limit of the protocol was exceeded")
        case .refusedMalformed: Self.refusal("malformed", "A block could not be understood")
        case .refusedSilent: Self.refusal("silent", "The peer said nothing, or took nothing, for a minute")
        case .refusedMemory: Self.refusal("memory", "Too many bytes of unfinished batches waited in all connections")
        case .storageStops: Self.count("storage_stops", "Times acknowledging stopped because the disk was full")
        case .sealRetries: Self.count("seal_retries", "Attempts to make a file that failed and were repeated")
        }
    }

    private static func count(_ name: String, _ help: String) -> Entry {
        Entry(report: name, reason: nil, metric: name, help: help)
    }

    private static func refusal(_ reason: String, _ help: String) -> Entry {
        Entry(report: "refused", reason: reason, metric: "refused_connections", help: help)
    }
}

/// The values of all figures.
public struct CollectorCounts: Sendable {
    private var values = [UInt64](repeating: 0, count: CollectorCounter.allCases.count)

    /// All zero.
    public init() {}

    /// One figure.
    public subscript(counter: CollectorCounter) -> UInt64 {
        get { values[Self.places[counter]!] }
        set { values[Self.places[counter]!] = newValue }
    }

    private static let places = Dictionary(
        uniqueKeysWithValues: CollectorCounter.allCases.enumerated().map { ($0.element, $0.offset) })
}
