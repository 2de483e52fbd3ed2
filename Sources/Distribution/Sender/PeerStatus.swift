public import Telemetry

/// How far a peer is.
public struct PeerStatus: Sendable {
    /// What is going on.
    public enum State: String, Sendable {
        case connecting, sending, waiting, done, failed
    }

    /// Its address, as it was given.
    public var address: String
    /// What is going on.
    public var state = State.connecting
    /// The file being sent.
    public var file = ""
    /// Bytes of files that were sent, those sent again included, and bytes that the peer has verified; bytes of files that it
    /// had before are among the latter.
    public var sentBytes: UInt64 = 0, acknowledgedBytes: UInt64 = 0
    /// Bytes of all files it is to get.
    public var totalBytes: UInt64 = 0
    /// Files that it has whole, and that it refused or that could not be sent.
    public var filesDone = 0, filesFailed = 0
    /// Pieces that arrived damaged and were sent again.
    public var resentPieces: UInt64 = 0
    /// Connections, the first one included.
    public var connections = 0
    /// How often a relay was of no use, so that the sender brought the bytes instead.
    public var bypasses = 0
    /// Bytes per second that were verified, over the last seconds.
    public var rate: Double = 0
    /// What is wrong, or was last.
    public var error: String?

    /// Seconds until it has everything, at the present rate; nil if nobody can tell.
    public var secondsLeft: Double? {
        guard rate > 0, state == .sending else { return nil }
        return Double(totalBytes - min(totalBytes, acknowledgedBytes)) / rate
    }

    var json: JSONValue {
        .object([
            ("address", .string(address)), ("state", .string(state.rawValue)), ("sent_bytes", .number(sentBytes)),
            ("acknowledged_bytes", .number(acknowledgedBytes)), ("total_bytes", .number(totalBytes)),
            ("files_done", .number(UInt64(filesDone))), ("files_failed", .number(UInt64(filesFailed))),
            ("resent_pieces", .number(resentPieces)), ("connections", .number(UInt64(connections))),
            ("bypasses", .number(UInt64(bypasses))),
            ("error", error.map { .string($0) } ?? .null),
        ])
    }
}

/// What became of a transfer.
public struct SendReport: Sendable {
    /// One per peer, in the order in which they were connected.
    public var peers: [PeerStatus] = []
    /// Files with their roots, as far as they could be read.
    public var files: [(name: String, size: UInt64, root: TreeHash?)] = []
    /// Files that could not be sent to anybody, and why.
    public var failures: [String] = []
    /// Symbolic links, sockets, pipes and devices in directories that were sent, which are left out.
    public var skipped: [String] = []
    /// From the first file on.
    public var seconds: Double = 0

    /// The report of `spillway send --report`.
    public var json: JSONValue {
        .object([
            ("seconds", .fraction(seconds)),
            ("sent_bytes", .number(peers.reduce(0) { $0 + $1.sentBytes })),
            ("peers", .array(peers.map(\.json))),
            (
                "files",
                .array(
                    files.map { file in
                        .object([
                            ("name", .string(file.name)), ("size", .number(file.size)),
                            ("root", file.root.map { .string("\($0)") } ?? .null),
                        ])
                    })
            ),
            ("failures", .array(failures.map { .string($0) })),
            ("skipped", .array(skipped.map { .string($0) })),
        ])
    }
}
