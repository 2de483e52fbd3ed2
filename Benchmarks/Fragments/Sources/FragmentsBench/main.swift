@_spi(Testing) import Fragments

typealias List = RangeList<UInt64>

// Every function that is timed stays out of line, as it would in a program with more than a benchmark in it.

@inline(never) func insertSingly(_ ranges: ArraySlice<Range<UInt64>>) throws -> Int {
    var list = List()
    for range in ranges { try list.insert(range) }
    return list.count
}

@inline(never) func insertTogether(_ ranges: ArraySlice<Range<UInt64>>) throws -> Int {
    var list = List()
    try list.insert(contentsOf: ranges)
    return list.count
}

@inline(never) func insertIntoRangeSet(_ ranges: ArraySlice<Range<UInt64>>) -> Int {
    var set = RangeSet<UInt64>()
    for range in ranges { set.insert(contentsOf: range) }
    return set.ranges.count
}

@inline(never) func appendToArray(_ ranges: [Range<UInt64>]) -> Int {
    var array: [Range<UInt64>] = []
    for range in ranges { array.append(range) }
    return array.count
}

@inline(never) func appendToList(_ ranges: [Range<UInt64>]) throws -> Int {
    var list = List()
    for range in ranges { try list.insert(range) }
    return list.count
}

@inline(never) func appendTogether(_ ranges: [Range<UInt64>]) throws -> Int {
    var list = List()
    try list.append(contentsOf: ranges)
    return list.count
}

@inline(never) func eraseSingly(_ list: List, _ ranges: [Range<UInt64>]) throws -> Int {
    var list = list
    for range in ranges { try list.erase(range) }
    return list.count
}

@inline(never) func lookUp(_ list: List, _ ranges: [Range<UInt64>]) -> Int {
    ranges.reduce(0) { $0 + (list.contains($1.lowerBound) ? 1 : 0) }
}

@inline(never) func sums(_ list: List, _ ranges: [Range<UInt64>]) -> Int {
    ranges.reduce(0) { $0 &+ Int(truncatingIfNeeded: list.overlappingSum($1.lowerBound..<$1.upperBound + 1_000_000)) }
}

@inline(never) func walk(_ list: List) -> Int {
    var sum: UInt64 = 0
    for fragment in list { sum &+= fragment.length }
    return Int(truncatingIfNeeded: sum)
}

/// Insertions of `size` ranges at a time, a million in all, so that no two lists get the same ranges.
func insertions(_ size: Int) throws {
    let total = max(1_000_000, size)
    var generator = Generator(seed: UInt64(size))
    let ranges = generator.ranges(total, spreadOver: size)
    let chunks = stride(from: 0, to: total, by: size).map { ranges[$0..<$0 + size] }
    try measure("insert", size, operations: total) { try chunks.reduce(0) { try $0 + insertSingly($1) } }
    try measure("insert-together", size, operations: total) { try chunks.reduce(0) { try $0 + insertTogether($1) } }
    if size <= 100_000 {
        let some = chunks.prefix(size == 100_000 ? 1 : 100_000 / size)
        measure("rangeset-insert", size, operations: some.count * size) {
            some.reduce(0) { $0 + insertIntoRangeSet($1) }
        }
    }
    let ordered = orderedRanges(size)
    let rounds = total / size
    measure("array-append", size, operations: total) {
        (0..<rounds).reduce(0) { sum, _ in sum + appendToArray(ordered) }
    }
    try measure("append", size, operations: total) {
        try (0..<rounds).reduce(0) { sum, _ in try sum + appendToList(ordered) }
    }
    try measure("append-together", size, operations: total) {
        try (0..<rounds).reduce(0) { sum, _ in try sum + appendTogether(ordered) }
    }
}

func queries(_ size: Int) throws {
    var generator = Generator(seed: UInt64(size) + 1)
    let list = try List(generator.ranges(size, spreadOver: size))
    let probes = generator.ranges(200_000, spreadOver: size)
    measure("contains", size, operations: probes.count) { lookUp(list, probes) }
    measure("overlapping-sum", size, operations: probes.count) { sums(list, probes) }
    try measure("erase", size, operations: probes.count) { try eraseSingly(list, probes) }
    measure("walk", size, operations: list.count) { walk(list) }
}

func setOperations(_ size: Int) throws {
    var generator = Generator(seed: UInt64(size) + 2)
    let left = try List(generator.ranges(size, spreadOver: size))
    let right = try List(generator.ranges(size, spreadOver: size))
    measure("union", size, operations: size) { left.union(right).count }
    measure("intersection", size, operations: size) { left.intersection(right).count }
    measure("difference", size, operations: size) { left.subtracting(right).count }
    measure("symmetric-difference", size, operations: size) { left.symmetricDifference(right).count }
}

func bytes(_ size: Int) throws {
    var generator = Generator(seed: UInt64(size) + 3)
    let ranges = generator.ranges(size, spreadOver: size)
    var single = List()
    for range in ranges { try single.insert(range) }
    report("bytes-per-range", size, Double(single.allocatedByteCount) / Double(single.count))
    let together = try List(ranges)
    report("bytes-per-range-together", size, Double(together.allocatedByteCount) / Double(together.count))
    let form = together.serialized()
    report("serialized-bytes-per-range", size, Double(form.count) / Double(together.count))
    measure("serialize", size, operations: together.count) { together.serialized().count }
    try measure("parse", size, operations: together.count) { try List(serialized: form).count }
}

for size in [1_000, 10_000, 100_000, 1_000_000] {
    try insertions(size)
    try queries(size)
    try setOperations(size)
    try bytes(size)
}
