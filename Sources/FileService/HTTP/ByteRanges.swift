internal import Fragments

/// The ranges of a request (RFC 9110, section 14).
enum ByteRanges: Equatable {
    /// There is no range that counts: the whole.
    case whole
    /// These ranges, each inside the file and not empty.
    case parts([Range<UInt64>])
    /// Ranges, none of which is in the file.
    case unsatisfiable

    /// Ranges of one request; more are answered with the whole.
    static let most = 64

    /// Understands the field of a request for a file of this length. What is malformed is ignored, as the standard has it.
    /// Ranges that overlap are answered once, merged, so that nobody can ask for the same bytes many times over.
    init(_ field: String, length: UInt64) {
        let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].lowercased() == "bytes" else {
            self = .whole
            return
        }
        var ranges: [Range<UInt64>] = []
        let specifications = parts[1].split(separator: ",", omittingEmptySubsequences: true)
        guard !specifications.isEmpty, specifications.count <= Self.most else {
            self = .whole
            return
        }
        for specification in specifications {
            guard let range = Self.range(specification, length: length) else {
                self = .whole
                return
            }
            if !range.isEmpty { ranges.append(range) }
        }
        self = ranges.isEmpty ? .unsatisfiable : .parts(Self.merged(ranges, length: length))
    }

    /// One range; an empty one if it lies outside the file, nil if it is malformed.
    private static func range(_ text: Substring, length: UInt64) -> Range<UInt64>? {
        let trimmed = text.drop { $0 == " " || $0 == "\t" }
        let ends = trimmed.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map {
            $0.prefix { $0 != " " && $0 != "\t" }
        }
        guard ends.count == 2 else { return nil }
        if ends[0].isEmpty {
            guard let count = number(ends[1]) else { return nil }
            return length - min(count, length)..<length
        }
        guard let first = number(ends[0]) else { return nil }
        if ends[1].isEmpty { return first < length ? first..<length : 0..<0 }
        guard let last = number(ends[1]), last >= first else { return nil }
        return first < length ? first..<min(last, length - 1) + 1 : 0..<0
    }

    private static func number(_ text: Substring) -> UInt64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(text) ?? .max
    }

    private static func merged(_ ranges: [Range<UInt64>], length: UInt64) -> [Range<UInt64>] {
        guard ranges.count > 1, let list = try? RangeList<UInt64>(ranges, limit: length) else { return ranges }
        let sum = ranges.reduce(0) { $0 + UInt64($1.count) }
        return list.lengthSum == sum ? ranges : list.map(\.range)
    }
}
