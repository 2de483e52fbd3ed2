internal import Synchronization

/// What admission is doing, for metrics, log and report.
public struct AdmissionFigures: Sendable, Equatable {
    /// One in so many packets goes to the live lane, now and at most so far.
    public var n: UInt32 = 1, greatest: UInt32 = 1
    /// How often it has changed.
    public var changes: UInt64 = 0
    /// Why it is what it is.
    public var state = Governor.State.open
    /// What the governor goes by: bytes per second that come in, by a fast and a slow average.
    public var ingress = 0.0, slowIngress = 0.0
    /// How fast that grows, in bytes per second per second.
    public var acceleration = 0.0
    /// Bytes per second that the destinations take when given enough, and that go to disk.
    public var drain = 0.0, spill = 0.0
    /// Bytes of memory that hold something unsent.
    public var occupied: UInt64 = 0

    /// Nothing yet.
    public init() {}
}

/// The present figures, from the thread that decides to all who ask.
public final class AdmissionBoard: Sendable {
    private let figures = Mutex(AdmissionFigures())

    /// Nothing yet.
    public init() {}

    /// As they were published last.
    public var present: AdmissionFigures { figures.withLock { $0 } }

    /// Publishes figures.
    public func publish(_ new: AdmissionFigures) { figures.withLock { $0 = new } }
}
