public import Pcapng

/// The names of all destinations a cache has ever had a claim of, and which of them are known to acknowledge. What nothing
/// is written down about is owed to all of these.
public struct KnownDestinations: Sendable, Equatable {
    /// Name of the file in the cache directory.
    public static let fileName = "destinations"
    private static let magic: UInt32 = 0x4e53_5053
    private static let version: UInt16 = 1

    /// The names.
    public var names: [String]
    /// Those that have greeted once.
    public var greeted: Set<String>
    /// Whether batches of the run have passed from one to another.
    public var hasPassed: Bool
    /// The run that has written this; nil if it has not said so.
    public var run: RunIdentity?

    /// From its parts.
    public init(
        names: [String] = [], greeted: Set<String> = [], hasPassed: Bool = false, run: RunIdentity? = nil
    ) {
        (self.names, self.greeted, self.hasPassed, self.run) = (names, greeted, hasPassed, run)
    }

    /// Whether a batch of a run is owed to whose share its lane is, where nothing else is written down.
    func trustsLanes(of other: RunIdentity) -> Bool { run == other && !hasPassed }

    /// The file's content.
    public var bytes: [UInt8] {
        var out = BlockBuilder()
        out.append(Self.magic)
        out.append(Self.version)
        out.append(UInt16(names.count))
        for name in names {
            out.append(text: name)
            out.append(UInt16((greeted.contains(name) ? 1 : 0) | (hasPassed ? 2 : 0)))
        }
        if let run {
            out.append(run.low)
            out.append(run.high)
        }
        out.append(ByteSource.checksum(out.bytes))
        return out.bytes
    }

    /// From the file's content.
    public init(_ bytes: [UInt8]) throws(FormatFault) {
        var source = try ByteSource(checked: bytes, magic: Self.magic, version: Self.version)
        let count: UInt16 = try source.number()
        self.init()
        for _ in 0..<count {
            let name = try source.text()
            let flags: UInt16 = try source.number()
            names.append(name)
            if flags & 1 == 1 { greeted.insert(name) }
            if flags & 2 == 2 { hasPassed = true }
        }
        if source.remaining >= 16 { run = try source.run() }
    }
}
