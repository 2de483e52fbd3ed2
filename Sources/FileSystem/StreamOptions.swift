/// How the rest of a cluster is treated when a member closes its file before the end (`clusterabend`).
public enum ClusterAbend: Int, Sendable, CaseIterable {
    /// The others' next read fails with EINVAL.
    case errorNow = 0
    /// The others' next read is the end of the file.
    case endNow = 1
    /// The others go on to the end of the capture file that is being read; there is their end.
    case endAtFileEnd = 2
    /// The others go on to the end of the capture file that is being read, and then get EINVAL.
    case errorAtFileEnd = 3
    /// The others go on as if nothing had happened; what the member would have got is lost.
    case ignore = 4
}

/// What decides which member of a cluster gets a packet (`clustermode`).
public enum ClusterMode: Int, Sendable, CaseIterable, BitwiseCopyable {
    case vlanAddressesPorts = 0
    case vlan = 1
    case addresses = 2
    case vlanAddresses = 3
    case addressesPorts = 4

    var usesVLAN: Bool { rawValue == 0 || rawValue == 1 || rawValue == 3 }
    var usesAddresses: Bool { rawValue != 1 }
    var usesPorts: Bool { rawValue == 0 || rawValue == 4 }
}

/// In which order the files of a directory follow each other (`order`).
public enum FileOrder: String, Sendable, CaseIterable {
    /// By name, numbers in it by their value.
    case name
    /// By the time of the last change.
    case modification = "mtime"
    /// By the time stamp of the first packet.
    case packet
}

/// In which direction of time a directory is read (`direction`).
public enum ReadingDirection: String, Sendable, CaseIterable {
    case oldestFirst = "oldest-first"
    /// Batch by batch, by last arrival; cache files of Spillway only.
    case newestFirst = "newest-first"
}

/// How new data is noticed (`follow`).
public enum Following: String, Sendable, CaseIterable {
    /// By inotify where the source's file system has it, else by looking every now and then.
    case auto
    case poll
}

/// The options that can be given at mount time and, each as a directory, in the path of a file.
public struct StreamOptions: Hashable, Sendable {
    /// Readers among which the packets are shared out.
    public var clusterSize = 1
    /// Blocks of 4096 bytes by which the fastest reader of a cluster may be ahead of the slowest.
    public var blockSlack = 2048
    /// The size shown where the true one is not known, in bytes.
    public var fileSize: Int64 = 512 << 40
    /// What happens to a cluster that a member leaves.
    public var clusterAbend = ClusterAbend.errorNow
    /// What decides who gets a packet.
    public var clusterMode = ClusterMode.vlanAddressesPorts
    /// Whether the kernel keeps cached pages when a file is opened again.
    public var keepCache = false
    /// Whether closed ranges go through the page cache.
    public var cached = false
    /// Which file follows which.
    public var order = FileOrder.name
    /// In which direction of time files are read.
    public var direction = ReadingDirection.oldestFirst
    /// How new data is noticed.
    public var follow = Following.auto
    /// How long a file that has a successor may be quiet before it counts as done although somebody still has it open, or
    /// although nothing is known about that; in nanoseconds.
    public var settle: UInt64 = 2_000_000_000

    /// The defaults.
    public init() {}

    /// The most members a cluster may have.
    public static let clusterSizeMax = 256

    /// What came of `take`.
    public enum Taken: Sendable { case taken, badValue, unknown }

    /// What each option wants, for messages.
    public static let expectations = [
        "clustersize": "a number of readers from 1 to \(clusterSizeMax)",
        "blockslack": "a number of blocks of 4096 bytes from 1 to 1048576",
        "filesize": "a size such as 512T (bytes, or K, M, G, T, P: powers of 1024), less than 8192P",
        "clusterabend": "0 error, 1 end, 2 end at the end of the file, 3 error there, or 4 ignore",
        "clustermode": "0 vlan+ip+port, 1 vlan, 2 ip, 3 vlan+ip, or 4 ip+port",
        "keepcache": "no value, 0 or 1", "cached": "no value, 0 or 1",
        "order": "name, mtime or packet", "follow": "auto or poll",
        "direction": "oldest-first or newest-first",
        "settle": "a time from 1ms to 1h (ms, s, m, h)",
    ]

    /// Takes one option, such as `clustersize=6` or `cached`.
    public mutating func take(_ text: String) -> Taken {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let value = parts.count > 1 ? parts[1] : nil
        guard Self.expectations[parts[0]] != nil else { return .unknown }
        return set(parts[0], value) ? .taken : .badValue
    }

    private mutating func set(_ name: String, _ value: String?) -> Bool {
        func store<Value>(_ path: WritableKeyPath<Self, Value>, _ new: Value?) -> Bool {
            guard let new else { return false }
            self[keyPath: path] = new
            return true
        }
        switch name {
        case "keepcache": return store(\.keepCache, Self.flag(value))
        case "cached": return store(\.cached, Self.flag(value))
        default: break
        }
        guard let value else { return false }
        switch name {
        case "clustersize": return store(\.clusterSize, Self.number(value, 1...Self.clusterSizeMax))
        case "blockslack": return store(\.blockSlack, Self.number(value, 1...1 << 20))
        case "filesize": return store(\.fileSize, Self.size(value))
        case "clusterabend": return store(\.clusterAbend, Self.number(value, 0...4).flatMap(ClusterAbend.init))
        case "clustermode": return store(\.clusterMode, Self.number(value, 0...4).flatMap(ClusterMode.init))
        case "order": return store(\.order, FileOrder(rawValue: value))
        case "direction": return store(\.direction, ReadingDirection(rawValue: value))
        case "follow": return store(\.follow, Following(rawValue: value))
        case "settle": return store(\.settle, Self.time(value))
        default: return false
        }
    }

    private static func flag(_ value: String?) -> Bool? {
        switch value {
        case nil, "1": true
        case "0": false
        default: nil
        }
    }

    private static func number(_ text: String, _ range: ClosedRange<Int>) -> Int? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text) else { return nil }
        return range.contains(number) ? number : nil
    }

    /// Digits and a unit of powers of 1024, at least 1 and below 2^63.
    private static func size(_ text: String) -> Int64? {
        let units: [Character: Int64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50]
        let unit = text.last.flatMap { units[Character($0.uppercased())] }
        let digits = unit == nil ? text[...] : text.dropLast()
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let count = Int64(digits), count > 0 else {
            return nil
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: unit ?? 1)
        return overflow ? nil : bytes
    }

    private static func time(_ text: String) -> UInt64? {
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
        ]
        for (unit, length) in units where text.hasSuffix(unit) {
            guard let count = number(String(text.dropLast(unit.count)), 1...3_600_000) else { return nil }
            let time = UInt64(count) * length
            return time <= 3_600_000_000_000 ? time : nil
        }
        return nil
    }
}
