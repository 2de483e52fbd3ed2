extension FixedFragmentList {
    /// Whether there are no ranges. O(1)
    @inlinable public var isEmpty: Bool { used == 0 }

    /// Whether an insertion between two ranges would throw `FragmentError.full`. O(1)
    @inlinable public var isFull: Bool { used == capacity }

    /// The end of the last range; zero when there is none. O(1)
    @inlinable public var end: Bound { used == 0 ? 0 : self[stored: used &- 1].upper }

    /// The length that is not covered, up to the limit. O(1)
    @inlinable public var missing: Bound { bound &- sum }

    /// Range number `index`, in order. O(1)
    ///
    /// - Precondition: `index` is below `count`.
    @inlinable public subscript(index: Int) -> Range<Bound> {
        precondition(index >= 0 && index < used, "index out of range")
        return self[stored: index].range
    }

    /// Whether a position is covered. O(log n)
    @inlinable public func contains(_ position: Bound) -> Bool {
        if position == .max { return false }
        let slot = firstSlot(endingAtOrAfter: position &+ 1)
        return slot < used && self[stored: slot].lower <= position
    }

    /// The number of the first range that ends behind `position`; `count` if there is none. O(log n)
    @inlinable public func firstIndex(endingAfter position: Bound) -> Int {
        position == .max ? used : firstSlot(endingAtOrAfter: position &+ 1)
    }

    /// Whether some position of `lowerBound..<upperBound` is covered; the range must be valid. O(log n)
    @inlinable public func overlaps(_ lowerBound: Bound, _ upperBound: Bound) -> Bool {
        if lowerBound >= upperBound { return false }
        let slot = firstIndex(endingAfter: lowerBound)
        return slot < used && self[stored: slot].lower < upperBound
    }

    /// The covered length in `lowerBound..<upperBound`, which must be valid. O(log n + k)
    @inlinable public func overlappingSum(_ lowerBound: Bound, _ upperBound: Bound) -> Bound {
        if lowerBound >= upperBound { return 0 }
        var slot = firstIndex(endingAfter: lowerBound)
        var covered: Bound = 0
        while slot < used, self[stored: slot].lower < upperBound {
            let extent = self[stored: slot]
            let lower = extent.lower < lowerBound ? lowerBound : extent.lower
            let upper = extent.upper > upperBound ? upperBound : extent.upper
            covered &+= upper &- lower
            slot &+= 1
        }
        return covered
    }

    /// The first gap that ends behind `position`, cut to begin there; nil when all is covered up to the limit.
    /// O(log n + k) for k touching ranges
    @inlinable public func firstGap(from position: Bound) -> Range<Bound>? {
        var begin = position
        var slot = firstIndex(endingAfter: position)
        while slot < used, self[stored: slot].lower <= begin {
            begin = self[stored: slot].upper
            slot &+= 1
        }
        let end = slot < used ? self[stored: slot].lower : bound
        return begin < end ? unsafe Range(uncheckedBounds: (begin, end)) : nil
    }

    /// The ranges as a list on the heap with the same limit. O(n)
    public func copy() -> RangeList<Bound> {
        var list = RangeList<Bound>(limit: bound)
        list.withUniqueTree { tree in
            for slot in 0..<used { tree.append(self[stored: slot], NoPayload()) }
        }
        return list
    }

    /// The slot of the first range that does not end before `position`, or `count`.
    @inlinable func firstSlot(endingAtOrAfter position: Bound) -> Int {
        var first = 0
        var length = used
        while length > 0 {
            let half = length &>> 1
            let isBefore = self[stored: first &+ half].upper < position
            first = isBefore ? first &+ half &+ 1 : first
            length = isBefore ? length &- half &- 1 : half
        }
        return first
    }
}
