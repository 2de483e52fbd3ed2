// Set operations on positions. Each takes O(n + m) for lists of n and m fragments, unless it says otherwise.

extension FragmentList {
    /// What lies in this list or in the other. Where both have a fragment, the other's payload is laid over
    /// this one's by ``PayloadTraits/overlay(_:on:)``. The limit is the higher of the two. O(n + m)
    @inlinable public func union(_ other: FragmentList) -> FragmentList {
        let limit = Swift.max(limit, other.limit)
        return combine(other, limit: limit, keep: { $0 || $1 }) { old, new in
            guard let old else { return new?.payload }
            guard let new else { return old.payload }
            return Payload.overlay(new.payload, on: old.payload)
        }
    }

    /// What lies in both lists, with this list's payloads and limit. O(n + m)
    @inlinable public func intersection<Other>(_ other: FragmentList<Bound, Other>) -> FragmentList {
        combine(other, limit: limit, keep: { $0 && $1 }) { $1 == nil ? nil : $0?.payload }
    }

    /// What lies in this list but not in the other, with this list's payloads and limit. O(n + m)
    @inlinable public func subtracting<Other>(_ other: FragmentList<Bound, Other>) -> FragmentList {
        combine(other, limit: limit, keep: { $0 && !$1 }) { $1 == nil ? $0?.payload : nil }
    }

    /// What lies in exactly one of the lists. The limit is the higher of the two. O(n + m)
    @inlinable public func symmetricDifference(_ other: FragmentList) -> FragmentList {
        let limit = Swift.max(limit, other.limit)
        return combine(other, limit: limit, keep: { $0 != $1 }) { old, new in
            old == nil ? new?.payload : new == nil ? old?.payload : nil
        }
    }

    /// Adds what lies in the other list; see ``union(_:)``. O(n + m), or O(m log n) when m is much smaller.
    ///
    /// - Throws: `FragmentError.exceedsLimit` when the other list reaches beyond this one's limit; the list is
    ///   unchanged.
    @inlinable public mutating func formUnion(_ other: FragmentList) throws(FragmentError<Bound>) {
        try checkLimit(other.end)
        if Payload.mergesAlways, isMuchLarger(than: other.count) {
            for fragment in other { try insert(fragment) }
            return
        }
        let limit = limit
        self = union(other)
        bound = limit
    }

    /// Keeps only what lies in both lists. O(n + m)
    @inlinable public mutating func formIntersection<Other>(_ other: FragmentList<Bound, Other>) {
        self = intersection(other)
    }

    /// Removes what lies in the other list. O(n + m), or O(m log n) when m is much smaller.
    @inlinable public mutating func subtract<Other>(_ other: FragmentList<Bound, Other>) {
        guard isMuchLarger(than: other.count) else {
            self = subtracting(other)
            return
        }
        withUniqueTree { tree in
            for fragment in other { _ = tree.uncover(Extent(fragment.lowerBound, fragment.upperBound)) }
        }
    }

    /// Keeps what lies in exactly one of the lists. O(n + m)
    ///
    /// - Throws: `FragmentError.exceedsLimit` when the other list reaches beyond this one's limit; the list is
    ///   unchanged.
    @inlinable public mutating func formSymmetricDifference(_ other: FragmentList) throws(FragmentError<Bound>) {
        try checkLimit(other.end)
        let limit = limit
        self = symmetricDifference(other)
        bound = limit
    }

    /// Whether every position of this list lies in the other. O(n + m)
    @inlinable public func isSubset<Other>(of other: FragmentList<Bound, Other>) -> Bool {
        lengthSum <= other.lengthSum && isEmptyEverywhere(other) { $0 && !$1 }
    }

    /// Whether every position of the other list lies in this one. O(n + m)
    @inlinable public func isSuperset<Other>(of other: FragmentList<Bound, Other>) -> Bool { other.isSubset(of: self) }

    /// Whether it is a subset, and the other list covers more. O(n + m)
    @inlinable public func isStrictSubset<Other>(of other: FragmentList<Bound, Other>) -> Bool {
        lengthSum < other.lengthSum && isSubset(of: other)
    }

    /// Whether it is a superset, and covers more than the other list. O(n + m)
    @inlinable public func isStrictSuperset<Other>(of other: FragmentList<Bound, Other>) -> Bool {
        other.isStrictSubset(of: self)
    }

    /// Whether no position lies in both lists. O(n + m), or O(m log n) when one is much smaller.
    @inlinable public func isDisjoint<Other>(with other: FragmentList<Bound, Other>) -> Bool {
        if isMuchLarger(than: other.count) { return !other.contains { overlaps($0.range) } }
        if other.isMuchLarger(than: count) { return !contains { other.overlaps($0.range) } }
        return isEmptyEverywhere(other) { $0 && $1 }
    }

    /// Whether some position lies in both lists. O(n + m), or O(m log n) when one is much smaller.
    @inlinable public func overlaps<Other>(_ other: FragmentList<Bound, Other>) -> Bool { !isDisjoint(with: other) }

    /// Whether both lists cover the same positions, whatever the payloads. O(n + m)
    @inlinable public func coversSamePositions<Other>(as other: FragmentList<Bound, Other>) -> Bool {
        lengthSum == other.lengthSum && isEmptyEverywhere(other) { $0 != $1 }
    }
}

extension FragmentList {
    /// Whether single operations for each of `count` fragments are cheaper than a walk over all of this list.
    @inlinable func isMuchLarger(than count: Int) -> Bool { self.count / 16 > count }

    /// The list of what is kept: by `keep` alone when payloads say nothing, else by `choose`.
    @inlinable func combine<Other>(
        _ other: FragmentList<Bound, Other>, limit: Bound, keep: (Bool, Bool) -> Bool,
        choose: (Fragment<Bound, Payload>?, Fragment<Bound, Other>?) -> Payload?
    ) -> FragmentList {
        let result = TreeOwner<Bound, Payload>.make()
        withTree { left in
            other.withTree { right in
                if let ranges = result as? TreeOwner<Bound, NoPayload> {
                    var sweep = Sweep(left, right)
                    sweep.build(Tree(ranges), keep)
                } else {
                    PayloadSweep(left, right).build(Tree(result), choose)
                }
            }
        }
        return FragmentList(owner: result, limit: limit)
    }

    @inlinable func isEmptyEverywhere<Other>(
        _ other: FragmentList<Bound, Other>, _ isFound: (Bool, Bool) -> Bool
    ) -> Bool {
        withTree { left in
            other.withTree { right in
                var sweep = Sweep(left, right)
                return sweep.allSatisfy(not: isFound)
            }
        }
    }
}
