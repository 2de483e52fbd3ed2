/// A half-open range of positions, with a payload.
///
/// A fragment is always valid: its end is never before its beginning. With ``NoPayload`` it is exactly two
/// bounds in memory.
@frozen public struct Fragment<Bound: FragmentBound, Payload: PayloadTraits> {
    /// The first position.
    public let lowerBound: Bound
    /// The position after the last one.
    public let upperBound: Bound
    /// What the range carries.
    public var payload: Payload

    /// A fragment over `lowerBound..<upperBound`.
    ///
    /// - Throws: `FragmentError.invalidRange` when the end is before the beginning, and
    ///   `FragmentError.emptyRange` when it is empty and the payload's traits forbid that.
    @inlinable public init(_ lowerBound: Bound, _ upperBound: Bound, _ payload: Payload) throws(FragmentError<Bound>) {
        if upperBound < lowerBound {
            throw FragmentError.invalidRange(lowerBound: lowerBound, upperBound: upperBound)
        }
        if upperBound == lowerBound, !Payload.allowsEmptyFragments {
            throw FragmentError.emptyRange(at: lowerBound)
        }
        self.lowerBound = lowerBound
        self.upperBound = upperBound
        self.payload = payload
    }

    /// A fragment over a range of the standard library, which is valid by construction.
    ///
    /// - Throws: `FragmentError.emptyRange` when it is empty and the payload's traits forbid that.
    @inlinable public init(_ range: Range<Bound>, _ payload: Payload) throws(FragmentError<Bound>) {
        try self.init(range.lowerBound, range.upperBound, payload)
    }

    @inlinable init(unchecked range: Range<Bound>, _ payload: Payload) {
        lowerBound = range.lowerBound
        upperBound = range.upperBound
        self.payload = payload
    }

    @inlinable init(extent: Extent<Bound>, _ payload: Payload) {
        lowerBound = extent.lower
        upperBound = extent.upper
        self.payload = payload
    }

    /// The range without the payload.
    @inlinable public var range: Range<Bound> { unsafe Range(uncheckedBounds: (lowerBound, upperBound)) }

    /// The number of positions.
    @inlinable public var length: Bound { upperBound &- lowerBound }

    /// Whether it covers no position.
    @inlinable public var isEmpty: Bool { lowerBound == upperBound }

    /// Whether it covers `position`.
    @inlinable public func contains(_ position: Bound) -> Bool { lowerBound <= position && position < upperBound }

    /// Whether it covers all of `other`; an empty range lies in every fragment.
    @inlinable public func contains(_ other: Range<Bound>) -> Bool {
        other.isEmpty || (lowerBound <= other.lowerBound && other.upperBound <= upperBound)
    }

    /// Whether both cover a common position.
    @inlinable public func overlaps(_ other: Range<Bound>) -> Bool { range.overlaps(other) }

    /// Whether it ends at or before the beginning of `other`.
    @inlinable public func isWhollyBefore(_ other: Range<Bound>) -> Bool { upperBound <= other.lowerBound }

    /// The part that lies in `bounds`, with the payload cut accordingly; empty when they are disjoint.
    @inlinable public func clamped(to bounds: Range<Bound>) -> Fragment {
        let part = range.clamped(to: bounds)
        if part == range { return self }
        return Fragment(unchecked: part, payload.cut(from: range, to: part))
    }

    /// The same payload over other bounds, uncut.
    ///
    /// - Throws: as ``init(_:_:_:)``.
    @inlinable public func with(lowerBound: Bound, upperBound: Bound) throws(FragmentError<Bound>) -> Fragment {
        try Fragment(lowerBound, upperBound, payload)
    }

    /// The same range with a payload of another type.
    ///
    /// - Throws: `FragmentError.emptyRange` when it is empty and the other traits forbid that.
    @inlinable public func mapPayload<Other: PayloadTraits>(
        _ transform: (Payload) -> Other
    ) throws(FragmentError<Bound>) -> Fragment<Bound, Other> {
        try Fragment<Bound, Other>(lowerBound, upperBound, transform(payload))
    }
}

extension Fragment where Payload == NoPayload {
    /// A fragment that carries nothing.
    ///
    /// - Throws: `FragmentError.invalidRange` when the end is before the beginning.
    @inlinable public init(_ lowerBound: Bound, _ upperBound: Bound) throws(FragmentError<Bound>) {
        try self.init(lowerBound, upperBound, NoPayload())
    }

    /// A fragment that carries nothing.
    @inlinable public init(_ range: Range<Bound>) {
        self.init(unchecked: range, NoPayload())
    }
}

extension Fragment: Equatable where Payload: Equatable {}
extension Fragment: Hashable where Payload: Hashable {}
extension Fragment: Sendable where Payload: Sendable {}
extension Fragment: BitwiseCopyable where Payload: BitwiseCopyable {}

extension Fragment: CustomStringConvertible {
    /// The range as in source text, and the payload behind a colon if there is one.
    public var description: String {
        MemoryLayout<Payload>.size == 0 ? "\(lowerBound)..<\(upperBound)" : "\(lowerBound)..<\(upperBound): \(payload)"
    }
}
