public import Pcapng
public import SpillCache

/// When batches on disk are sent to destinations that get the newest first.
public enum ReplayPolicy: String, Sendable, CaseIterable {
    /// While memory has nothing for the destination.
    case idle
    /// Whichever is newer, memory or disk, goes first.
    case eager
    /// Not in this run.
    case off
}

/// What survives a loss of power.
public enum SyncPolicy: String, Sendable, CaseIterable {
    /// What the kernel has written by then.
    case none
    /// All but the last second.
    case interval
    /// Everything that was taken out of memory.
    case batch
}

/// Where batches go that memory cannot keep.
public struct SpillSetup: Sendable {
    /// The directory, which is this process's alone.
    public var directory: DirectoryHandle
    /// The sensor's name.
    public var sensor: String
    /// What is decided about single files.
    public var files = SpillFileLimits()
    /// Bytes of all files together.
    public var bytes: UInt64 = 10 << 30
    /// Nanoseconds after which a batch nobody was sent leaves memory.
    public var memoryAge: UInt64 = 5_000_000_000
    /// When batches on disk are sent.
    public var replay = ReplayPolicy.idle
    /// What survives a loss of power.
    public var sync = SyncPolicy.interval
    /// Bytes per second sent from disk to each destination; 0 for no limit.
    public var replayRate: UInt64 = 0
    /// Nanoseconds after which what is on disk is let go of; nil for never.
    public var age: UInt64?
    /// What is kept though nobody is owed it; nil for nothing.
    public var keep: Keep?

    /// What is kept though nobody is owed it.
    public enum Keep: Sendable {
        /// What arrived within so many nanoseconds.
        case time(UInt64)
        /// So many bytes of the newest.
        case bytes(UInt64)
    }

    /// What earlier lives have left.
    public var earlier: [EarlierFile] = []
    /// Runs of which there may be more than these files hold.
    public var incomplete: Set<RunIdentity> = []
    /// Packets that destinations were owed and that damage to these files has cost.
    public var lost: [String: UInt64] = [:]
    /// Destinations of earlier lives, to whom is owed what nothing is written down about; nil where nobody knows them, so
    /// that it is owed to those of this life.
    public var known: KnownDestinations?

    /// The defaults.
    public init(directory: DirectoryHandle, sensor: String) {
        (self.directory, self.sensor) = (directory, sensor)
    }

    /// Bytes it takes beside what is on disk, for the budget.
    public static func byteCount(_ plans: [DestinationPlan], _ limits: EgressLimits) -> Int {
        Catalogue.byteCount(claimants: plans.count(where: \.spills) + limits.spareConnections) + (1 << 20)
    }
}

extension DestinationPlan {
    /// Whether what it is owed may wait for it on disk.
    public var spills: Bool {
        if case .connect = outlet, case .pcapng = wire { true } else { false }
    }
}
