extension FragmentList {
    /// What is not covered, from zero to the limit, in order. O(1), then O(1) per step.
    @inlinable public var gaps: GapSequence<Bound, Payload> { gaps(in: unsafe Range(uncheckedBounds: (0, limit))) }

    /// What is not covered in a range, in order; it may reach beyond the limit. O(log n), then O(1) per step.
    @inlinable public func gaps(in range: Range<Bound>) -> GapSequence<Bound, Payload> {
        GapSequence(list: self, range: range)
    }

    /// What is not covered, up to the limit, as a list with the same limit. O(n)
    @inlinable public func complement() -> RangeList<Bound> {
        var complement = RangeList<Bound>(limit: limit)
        complement.withUniqueTree { tree in
            for gap in gaps { tree.append(Extent(gap.lowerBound, gap.upperBound), NoPayload()) }
        }
        return complement
    }
}

/// The gaps between the fragments of a list, within a range. It holds the list as it was.
public struct GapSequence<Bound: FragmentBound, Payload: PayloadTraits>: Sequence {
    @usableFromInline let list: FragmentList<Bound, Payload>
    @usableFromInline let range: Range<Bound>

    @inlinable init(list: FragmentList<Bound, Payload>, range: Range<Bound>) {
        self.list = list
        self.range = range
    }

    /// Starts at the beginning of the range. O(log n)
    @inlinable public func makeIterator() -> Iterator {
        let place = list.withTree { $0.firstPlace(endingAfter: range.lowerBound) }
        return Iterator(owner: list.owner, cursor: Cursor(place), rest: range)
    }

    /// Walks from gap to gap.
    public struct Iterator: IteratorProtocol {
        @usableFromInline let owner: TreeOwner<Bound, Payload>
        @usableFromInline var cursor: Cursor<Bound, Payload>
        @usableFromInline var rest: Range<Bound>

        @inlinable init(owner: TreeOwner<Bound, Payload>, cursor: Cursor<Bound, Payload>, rest: Range<Bound>) {
            self.owner = owner
            self.cursor = cursor
            self.rest = rest
        }

        /// The next gap. O(1), amortised over touching fragments.
        @inlinable public mutating func next() -> Range<Bound>? {
            while !rest.isEmpty {
                let position = rest.lowerBound
                guard let extent = cursor.extent, extent.lower < rest.upperBound else {
                    rest = rest.upperBound..<rest.upperBound
                    return unsafe Range(uncheckedBounds: (position, rest.upperBound))
                }
                cursor.advance()
                let resume = Swift.min(extent.upper, rest.upperBound)
                rest = unsafe Range(uncheckedBounds: (resume, rest.upperBound))
                if position < extent.lower { return unsafe Range(uncheckedBounds: (position, extent.lower)) }
            }
            return nil
        }
    }
}

extension GapSequence: Sendable where Payload: Sendable {}
extension GapSequence.Iterator: @unchecked Sendable where Payload: Sendable {}
