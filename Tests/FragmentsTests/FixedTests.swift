@_spi(Testing) import Fragments
import Testing

/// What the data plane does with a list; that it compiles proves that nothing allocates, locks or counts.
@_noLocks
private func useOnDataPlane(_ list: inout FixedFragmentList<UInt64>) throws(FragmentError<UInt64>) -> UInt64 {
    var sum = try list.insert(10, 20)
    sum &+= try list.insert(30, 40)
    sum &+= try list.insert(15, 32)
    sum &+= try list.erase(18, 19)
    sum &+= list.overlappingSum(0, 100)
    sum &+= list.missing &+ list.end &+ list.lengthSum
    if let gap = list.firstGap(from: 10) { sum &+= gap.lowerBound }
    if list.contains(12), !list.overlaps(18, 19), !list.isFull, !list.isEmpty { sum &+= list[0].upperBound }
    sum &+= UInt64(list.firstIndex(endingAfter: 18)) &+ UInt64(list.count)
    try list.setLimit(1000)
    list.removeAll()
    return sum
}

@_noLocks
private func useOnDataPlane(_ list: inout FixedFragmentList<UInt16>) -> UInt16 {
    do throws(FragmentError<UInt16>) { return try list.insert(10, 20) } catch { return 0 }
}

struct FixedTests {
    /// Runs a body with a list over memory for `capacity` ranges, behind which nothing may be written.
    static func with<Bound: FragmentBound>(
        _ type: Bound.Type, capacity: Int, limit: Bound, _ body: (inout FixedFragmentList<Bound>) throws -> Void
    ) throws {
        let bytes = FixedFragmentList<Bound>.byteCount(capacity: capacity)
        let guardByte: UInt8 = 0xA5
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes + 32, alignment: 16)
        defer { unsafe memory.deallocate() }
        unsafe memory.initializeMemory(as: UInt8.self, repeating: guardByte)
        var list = unsafe FixedFragmentList<Bound>(
            memory: UnsafeMutableRawBufferPointer(rebasing: memory[..<bytes]), limit: limit)
        #expect(list.capacity == capacity)
        try body(&list)
        for position in bytes..<bytes + 32 { #expect(unsafe memory[position] == guardByte) }
    }

    @Test func theDataPlaneCanUseIt() throws {
        try Self.with(UInt64.self, capacity: 4, limit: 100) { list in
            // 10 + 10 + 10 newly covered, 1 erased, 29 covered, 71 missing, end 40, sum 29, gap at 18, range 10..<18,
            // one range ends at or before 18, two ranges.
            let sum = try useOnDataPlane(&list)
            #expect(sum == 10 + 10 + 10 + 1 + 29 + 71 + 40 + 29 + 18 + 18 + 1 + 2)
            #expect(list.isEmpty && list.limit == 1000)
        }
        try Self.with(UInt16.self, capacity: 0, limit: 100) { list in
            let covered = useOnDataPlane(&list)
            #expect(covered == 0)
        }
    }

    /// Every list of at most three ranges over a small domain, and every range, with room and without.
    @Test(arguments: [2, 3, 4]) func exhaustive(capacity: Int) throws {
        let domain = 8
        for pattern in 0..<(1 << domain) {
            let bits = Bits(count: domain, pattern: pattern)
            let runs = bits.runs
            if runs.count > capacity { continue }
            for lower in 0...domain {
                for upper in lower...domain {
                    for isInsertion in [true, false] {
                        var expected = bits
                        let changed = expected.set(lower..<upper, isInsertion)
                        try Self.with(UInt8.self, capacity: capacity, limit: UInt8(domain)) { list in
                            for run in runs { try list.insert(UInt8(run.lowerBound), UInt8(run.upperBound)) }
                            try Self.change(&list, lower, upper, isInsertion, bits, expected, changed)
                        }
                    }
                }
            }
        }
    }

    static func change(
        _ list: inout FixedFragmentList<UInt8>, _ lower: Int, _ upper: Int, _ isInsertion: Bool, _ before: Bits,
        _ after: Bits, _ changed: Int
    ) throws {
        let doesFit = after.runs.count <= list.capacity
        do throws(FragmentError<UInt8>) {
            let got = try isInsertion ? list.insert(UInt8(lower), UInt8(upper)) : list.erase(UInt8(lower), UInt8(upper))
            #expect(doesFit && got == UInt8(changed))
        } catch {
            #expect(!doesFit && error == .full(capacity: list.capacity))
        }
        let now = doesFit ? after : before
        let ranges = (0..<list.count).map { Int(list[$0].lowerBound)..<Int(list[$0].upperBound) }
        #expect(ranges == now.runs)
        let (sum, missing, copy) = (list.lengthSum, list.missing, list.copy())
        #expect(sum == UInt8(now.count(0..<8)) && missing == 8 - sum)
        #expect(copy.ranges == now.runs && copy.limit == 8 && copy.violation() == nil)
        let (inside, overlaps, covered) = (
            list.contains(UInt8(lower)), list.overlaps(UInt8(lower), UInt8(upper)),
            list.overlappingSum(UInt8(lower), UInt8(upper))
        )
        #expect(inside == (lower < 8 && now.flags[lower]))
        #expect(covered == UInt8(now.count(lower..<upper)) && overlaps == (covered > 0))
        let gap = list.firstGap(from: UInt8(lower)).map { Int($0.lowerBound)..<Int($0.upperBound) }
        #expect(
            gap == now.complement.runs.first { $0.upperBound > lower }.map { max($0.lowerBound, lower)..<$0.upperBound }
        )
    }

    @Test func randomHistory() throws {
        var generator = SeededGenerator("fixed")
        try Self.with(UInt32.self, capacity: 300, limit: 5000) { list in
            var bits = Bits(count: 5000)
            var wasFull = false
            for step in 0..<20_000 {
                let range = generator.range(in: 5000, length: 12)
                let isInsertion = Int.random(in: 0..<10, using: &generator) < (step / 4000 % 2 == 0 ? 8 : 2)
                var expected = bits
                let changed = expected.set(range, isInsertion)
                let (lower, upper) = (UInt32(range.lowerBound), UInt32(range.upperBound))
                do throws(FragmentError<UInt32>) {
                    let got = try isInsertion ? list.insert(lower, upper) : list.erase(lower, upper)
                    #expect(got == UInt32(changed))
                    bits = expected
                } catch {
                    #expect(error == .full(capacity: 300) && list.isFull)
                    wasFull = true
                }
                if step % 500 == 0 {
                    let ranges = (0..<list.count).map { Int(list[$0].lowerBound)..<Int(list[$0].upperBound) }
                    #expect(ranges == bits.runs)
                }
            }
            #expect(wasFull, "the test must fill the list")
        }
    }

    @Test func errors() throws {
        try Self.with(UInt16.self, capacity: 2, limit: 100) { list in
            func fails(_ error: FragmentError<UInt16>, _ body: (inout FixedFragmentList<UInt16>) throws -> Void) {
                do {
                    try body(&list)
                    Issue.record("no error")
                } catch let thrown as FragmentError<UInt16> {
                    #expect(thrown == error)
                } catch { Issue.record(error) }
                let sum = list.lengthSum
                #expect(sum == 20)
            }
            try list.insert(10, 30)
            fails(.invalidRange(lowerBound: 5, upperBound: 4)) { try $0.insert(5, 4) }
            fails(.invalidRange(lowerBound: 5, upperBound: 4)) { try $0.erase(5, 4) }
            fails(.exceedsLimit(upperBound: 101, limit: 100)) { try $0.insert(5, 101) }
            fails(.exceedsLimit(upperBound: 101, limit: 100)) { try $0.erase(5, 101) }
            fails(.limitBelowContents(limit: 29, end: 30)) { try $0.setLimit(29) }
            try list.setLimit(30)
        }
        // Ranges at the very end of the integer type.
        try Self.with(UInt8.self, capacity: 3, limit: .max) { list in
            try list.insert(254, 255)
            try list.insert(0, 1)
            let (last, afterLast) = (list.contains(254), list.contains(255))
            #expect(last && !afterLast)
            try list.erase(0, 255)
            let isEmpty = list.isEmpty
            #expect(isEmpty)
        }
    }
}
