@_spi(Testing) import Fragments

/// Two readings of the same bytes: as the binary form of a list, and as a history of operations on lists, which is
/// compared with one flag per position.
@c(LLVMFuzzerTestOneInput)
public func fuzzFragments(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    readForm(bytes)
    readForm(fixed(bytes))
    replay(bytes)
    return 0
}

/// Whatever is read must be valid and must have just this form.
private func readForm(_ bytes: [UInt8]) {
    if let list = try? RangeList<UInt64>(serialized: bytes) {
        precondition(list.violation() == nil, "an invalid list was read")
        precondition(list.serialized() == bytes, "a list has two forms")
    }
}

/// The same bytes with a right beginning and checksum, so that the fuzzer gets to what lies behind these checks.
private func fixed(_ bytes: [UInt8]) -> [UInt8] {
    let body = Array("FRGL".utf8) + [1, 8] + bytes
    var checksum = UInt32.max
    for byte in body {
        checksum ^= UInt32(byte)
        for _ in 0..<8 { checksum = checksum & 1 == 0 ? checksum >> 1 : (checksum >> 1) ^ 0x82F6_3B78 }
    }
    return body + (0..<4).map { UInt8(truncatingIfNeeded: ~checksum >> UInt32(8 * $0)) }
}

/// Four bytes are one operation: what, where, how long, how often (each time a little further on).
private func replay(_ bytes: [UInt8]) {
    var histories = History()
    for position in stride(from: 0, to: bytes.count - 3, by: 4) {
        let lower = Int(bytes[position + 1]) * 16
        for repetition in 0..<Int(bytes[position + 3] & 0x7f) + 1 {
            let begin = min(lower + repetition * 3, History.domain)
            histories.apply(bytes[position], begin..<min(begin + Int(bytes[position + 2] % 64), History.domain))
        }
    }
    histories.check()
}

private struct History {
    static let domain = 4096
    var list = RangeList<UInt16>(limit: UInt16(domain))
    var other = RangeList<UInt16>(limit: UInt16(domain))
    var hint = InsertionHint<UInt16, NoPayload>()
    var flags = [Bool](repeating: false, count: domain)
    var otherFlags = [Bool](repeating: false, count: domain)

    mutating func apply(_ operation: UInt8, _ range: Range<Int>) {
        let asked = UInt16(range.lowerBound)..<UInt16(range.upperBound)
        do {
            switch operation % 8 {
            case 0, 1, 2:
                let gained = set(range, true)
                let got = try operation & 8 == 0 ? list.insert(asked) : list.insert(asked, hint: &hint)
                precondition(got == UInt16(gained), "insert")
            case 3, 4:
                let lost = set(range, false)
                let got = try list.erase(asked)
                precondition(got == UInt16(lost), "erase")
            case 5:
                precondition(list.overlappingSum(asked) == UInt16(flags[range].count { $0 }), "sum")
            case 6:
                (list, other) = (other, list)
                (flags, otherFlags) = (otherFlags, flags)
            default:
                if range.count == 63 { combine(operation) }
            }
        } catch {
            preconditionFailure("\(error)")
        }
    }

    mutating func set(_ range: Range<Int>, _ value: Bool) -> Int {
        let changed = range.count { flags[$0] != value }
        for position in range { flags[position] = value }
        return changed
    }

    mutating func combine(_ operation: UInt8) {
        let pairs = zip(flags, otherFlags)
        switch operation >> 4 & 3 {
        case 0: (list, flags) = (list.union(other), pairs.map { $0 || $1 })
        case 1: (list, flags) = (list.intersection(other), pairs.map { $0 && $1 })
        case 2: (list, flags) = (list.subtracting(other), pairs.map { $0 && !$1 })
        default: (list, flags) = (list.symmetricDifference(other), pairs.map { $0 != $1 })
        }
    }

    func check() {
        for (list, flags) in [(list, flags), (other, otherFlags)] {
            precondition(list.violation() == nil, list.violation() ?? "")
            var seen = [Bool](repeating: false, count: Self.domain)
            for fragment in list { for position in fragment.range { seen[Int(position)] = true } }
            precondition(seen == flags, "the list differs from the flags")
        }
    }
}
