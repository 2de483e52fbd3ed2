public import Telemetry

/// A file that was received whole.
public struct ReceivedFile: Sendable, Equatable {
    /// What the sender called it.
    public var name: String
    /// Bytes.
    public var size: UInt64
    /// Its root: what `b3sum` prints for it.
    public var root: TreeHash
}

/// What a receiver did.
public struct ReceiveReport: Sendable {
    /// Files that were received whole, in the order in which they got their names.
    public var files: [ReceivedFile] = []
    /// Files that were refused, and why.
    public var failures: [String] = []
    /// Transfers, and connections that were not let in.
    public var sessions: UInt64 = 0, refusedConnections: UInt64 = 0
    /// Bytes of pieces that came in, and bytes that need not come again.
    public var bytes: UInt64 = 0, resumedBytes: UInt64 = 0
    /// Pieces that were not what they should be, and were asked for again.
    public var corruptPieces: UInt64 = 0

    /// The report of `spillway receive --report`.
    public var json: JSONValue {
        .object([
            ("sessions", .number(sessions)), ("refused_connections", .number(refusedConnections)),
            ("bytes", .number(bytes)), ("resumed_bytes", .number(resumedBytes)),
            ("corrupt_pieces", .number(corruptPieces)),
            (
                "files",
                .array(
                    files.map {
                        .object([
                            ("name", .string($0.name)), ("size", .number($0.size)), ("root", .string("\($0.root)")),
                        ])
                    })
            ),
            ("failures", .array(failures.map { .string($0) })),
        ])
    }
}
