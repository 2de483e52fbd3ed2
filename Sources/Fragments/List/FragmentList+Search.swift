extension FragmentList {
    /// Whether a position is covered. O(log n)
    @inlinable public func contains(_ position: Bound) -> Bool {
        withTree { tree in
            guard let place = tree.firstPlace(endingAfter: position) else { return false }
            return place.leaf[place.slot].lower <= position
        }
    }

    /// Whether every position of a range is covered; an empty range always is. O(log n + k)
    @inlinable public func contains(_ range: Range<Bound>) -> Bool {
        if range.isEmpty { return true }
        return withTree { tree in
            var cursor = Cursor(tree.firstPlace(endingAfter: range.lowerBound))
            var position = range.lowerBound
            while let extent = cursor.extent, extent.lower <= position {
                if extent.upper >= range.upperBound { return true }
                position = extent.upper
                cursor.advance()
            }
            return false
        }
    }

    /// Whether some position of a range is covered. O(log n)
    @inlinable public func overlaps(_ range: Range<Bound>) -> Bool {
        if range.isEmpty { return false }
        return withTree { tree in
            guard let place = tree.firstPlace(endingAfter: range.lowerBound) else { return false }
            return place.leaf[place.slot].lower < range.upperBound
        }
    }

    /// The fragment that covers a position. O(log n)
    @inlinable public func fragment(containing position: Bound) -> Fragment<Bound, Payload>? {
        withTree { tree in
            guard let place = tree.firstPlace(endingAfter: position) else { return nil }
            return place.leaf[place.slot].lower <= position ? place.leaf.fragment(place.slot) : nil
        }
    }

    /// The number of the fragment that covers a position. O(log n)
    @inlinable public func index(containing position: Bound) -> Int? {
        contains(position) ? withTree { $0.before(position).rank } : nil
    }

    /// The first fragment that does not end at or before `position`; `endIndex` if there is none. O(log n)
    @inlinable public func lowerBound(_ position: Bound) -> Int { withTree { $0.before(position).rank } }

    /// The first fragment that begins at or after `position`; `endIndex` if there is none. O(log n)
    @inlinable public func upperBound(_ position: Bound) -> Int {
        let rank = lowerBound(position)
        return rank < count && self[rank].lowerBound < position ? rank + 1 : rank
    }

    /// The fragments that have a position in common with `range`. O(log n)
    @inlinable public func indices(overlapping range: Range<Bound>) -> Range<Int> {
        let first = lowerBound(range.lowerBound)
        return range.isEmpty ? first..<first : first..<Swift.max(first, upperBound(range.upperBound))
    }

    /// The fragments that overlap `range` or end or begin where it begins or ends: those that take part in a
    /// merge with it. O(log n)
    @inlinable public func indices(touching range: Range<Bound>) -> Range<Int> {
        let first = range.lowerBound == 0 ? 0 : lowerBound(range.lowerBound &- 1)
        let last = range.upperBound == .max ? count : upperBound(range.upperBound &+ 1)
        return first..<Swift.max(first, last)
    }

    /// The covered length in a range. O(log n)
    @inlinable public func overlappingSum(_ range: Range<Bound>) -> Bound {
        if range.isEmpty { return 0 }
        return withTree { $0.before(range.upperBound).sum &- $0.before(range.lowerBound).sum }
    }

    /// The position of the covered byte number `offset`, counted from the first one. O(log n)
    ///
    /// - Precondition: `offset` is below ``lengthSum``.
    @inlinable public func position(atCoveredOffset offset: Bound) -> Bound {
        precondition(offset < lengthSum, "offset beyond the covered length")
        return withTree { $0.place(coveredOffset: offset).position }
    }

    /// A covered position, all equally likely; nil when the list is empty. O(log n)
    @inlinable public func randomPosition(using generator: inout some RandomNumberGenerator) -> Bound? {
        let sum = lengthSum
        return sum == 0 ? nil : position(atCoveredOffset: Bound.random(in: 0..<sum, using: &generator))
    }

    /// A fragment, the longer the likelier; nil when the list is empty. O(log n)
    ///
    /// For a choice in which all fragments are equally likely use `randomElement(using:)`.
    @inlinable public func randomElementByLength(
        using generator: inout some RandomNumberGenerator
    ) -> Fragment<Bound, Payload>? {
        randomPosition(using: &generator).flatMap { fragment(containing: $0) }
    }
}
