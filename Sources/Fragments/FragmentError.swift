/// What can be wrong with a range or with an operation on ranges.
///
/// An operation that throws leaves the list or queue as it was, unless its documentation says otherwise; it
/// is valid in every case.
public enum FragmentError<Bound: FragmentBound>: Error, Hashable, Sendable {
    /// The range ends before it begins.
    case invalidRange(lowerBound: Bound, upperBound: Bound)
    /// The range is empty, and its payload type does not allow that.
    case emptyRange(at: Bound)
    /// The range does not end at or before the limit of the list.
    case exceedsLimit(upperBound: Bound, limit: Bound)
    /// The limit cannot be lowered below the end of the last fragment.
    case limitBelowContents(limit: Bound, end: Bound)
    /// A fragment that must lie after all others does not begin at or after `end`.
    case outOfOrder(lowerBound: Bound, end: Bound)
    /// The result of `PayloadTraits.merge` is not in order, or does not cover exactly what it must.
    case invalidMerge(lowerBound: Bound, upperBound: Bound)
    /// The fixed memory of the list holds no further fragment.
    case full(capacity: Int)
}

extension FragmentError: CustomStringConvertible {
    /// A sentence for a log or a message to the user.
    public var description: String {
        switch self {
        case .invalidRange(let lower, let upper): "range \(lower)..<\(upper) ends before it begins"
        case .emptyRange(let position): "empty range at \(position)"
        case .exceedsLimit(let upper, let limit): "range ends at \(upper), beyond the limit \(limit)"
        case .limitBelowContents(let limit, let end): "limit \(limit) is below the last fragment's end \(end)"
        case .outOfOrder(let lower, let end): "fragment begins at \(lower), before the end \(end) of the last"
        case .invalidMerge(let lower, let upper): "merge gave a wrong cover of \(lower)..<\(upper)"
        case .full(let capacity): "all \(capacity) fragments of the fixed memory are in use"
        }
    }
}
