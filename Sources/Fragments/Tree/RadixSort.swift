/// Sorting of ranges by their beginning, for building a list from ranges in no order.
///
/// Distributes by just so many of the leading bits that hardly two ranges share them, in one or two passes,
/// and lets an insertion sort do the rest. When the beginnings are so unevenly spread that this would take
/// long, the standard library's sort takes over.
@usableFromInline
enum RadixSort {
    /// Sorts `count` extents. O(n) when they are spread evenly, else O(n log n).
    @inlinable static func sort<Bound>(_ extents: UnsafeMutableBufferPointer<Extent<Bound>>) {
        guard extents.count > 24 else { return unsafe finish(extents) }
        var least = Bound.max
        var greatest: Bound = 0
        for k in extents.indices {
            let lower = unsafe extents[k].lower
            least = min(least, lower)
            greatest = max(greatest, lower)
        }
        let width = Bound.bitWidth - (greatest &- least).leadingZeroBitCount
        let wanted = min(width, Int.bitWidth - extents.count.leadingZeroBitCount + 1)
        let passes = (wanted + 10) / 11
        guard passes > 0 else { return }
        let digit = (wanted + passes - 1) / passes
        unsafe distribute(extents, least: least, digit: digit, passes: passes, from: max(0, width - digit * passes))
        unsafe finish(extents)
    }

    /// Orders by `passes` digits of `digit` bits each, of which the lowest begins at bit `bit`.
    @inlinable static func distribute<Bound>(
        _ extents: UnsafeMutableBufferPointer<Extent<Bound>>, least: Bound, digit: Int, passes: Int, from bit: Int
    ) {
        let mask = (1 << digit) - 1
        unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: 1 << digit) { starts in
            let scratch = UnsafeMutableBufferPointer<Extent<Bound>>.allocate(capacity: extents.count)
            defer { unsafe scratch.deallocate() }
            var (source, target) = unsafe (extents, scratch)
            for pass in 0..<passes {
                let shift = Bound(truncatingIfNeeded: bit + pass * digit)
                unsafe starts.initialize(repeating: 0)
                for k in source.indices {
                    let value = Int(truncatingIfNeeded: unsafe (source[k].lower &- least) &>> shift) & mask
                    unsafe starts[value] &+= 1
                }
                var start = 0
                for value in starts.indices {
                    let count = unsafe starts[value]
                    unsafe starts[value] = start
                    start &+= count
                }
                for k in source.indices {
                    let extent = unsafe source[k]
                    let value = Int(truncatingIfNeeded: (extent.lower &- least) &>> shift) & mask
                    let place = unsafe starts[value]
                    unsafe starts[value] = place &+ 1
                    unsafe target[place] = extent
                }
                unsafe swap(&source, &target)
            }
            if passes % 2 == 1 { _ = unsafe extents.update(fromContentsOf: scratch) }
        }
    }

    /// Sorts what is nearly in order by insertion, and anything else by the standard library.
    @inlinable static func finish<Bound>(_ extents: UnsafeMutableBufferPointer<Extent<Bound>>) {
        var budget = extents.count * 8
        for k in extents.indices.dropFirst() {
            let extent = unsafe extents[k]
            var place = k
            while place > 0, unsafe extents[place &- 1].lower > extent.lower {
                unsafe extents[place] = unsafe extents[place &- 1]
                place &-= 1
            }
            unsafe extents[place] = extent
            budget &-= k &- place
            if budget < 0 {
                var rest = unsafe extents
                return unsafe rest.sort { $0.lower < $1.lower }
            }
        }
    }
}
