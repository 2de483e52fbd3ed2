public import Machine
internal import Synchronization

/// What can be changed about destinations while a run goes on.
public enum EgressChange: Sendable {
    /// One more; it gets the next number of the plans.
    case add(DestinationPlan)
    /// The destination of this plan is there no more: it gets nothing from now on, and what it is owed is another one's where
    /// destinations share, and otherwise lost.
    case remove(plan: Int)
    /// The destination of this plan has moved, or gets another share.
    case move(plan: Int, DestinationPlan)
    /// Other limits.
    case limits(EgressLimits)
    /// From where readers may connect.
    case allow([Subnet])
}

/// Changes on their way from the control thread to the egress thread, which looks for them every few milliseconds.
public final class EgressChanges: Sendable {
    private let waiting = Mutex<[EgressChange]>([])

    /// None yet.
    public init() {}

    /// Passes changes on, to be made in this order.
    public func post(_ changes: [EgressChange]) { waiting.withLock { $0 += changes } }

    /// Takes what is there.
    func take() -> [EgressChange] {
        waiting.withLock { changes in
            defer { changes = [] }
            return changes
        }
    }
}
