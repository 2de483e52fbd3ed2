/// How single values are read. Each function gives nil for what it does not understand; the caller knows the option
/// and says what would have been right.
public enum Values {
    /// The longest time anything may take or wait: a hundred years. Sums with clock readings stay far from overflow.
    public static let longestTime: UInt64 = 36_500 * 86_400_000_000_000

    /// Bytes, with an optional K, M, G or T (powers of 1024): `4096`, `64K`, `1.5G`.
    public static func size(_ text: String) -> Int? {
        Quantity.parse(text[...], units: Quantity.sizeUnits).flatMap(Int.init(exactly:))
    }

    /// Nanoseconds, from a number and us, ms, s, m, h or d: `5ms`, `1.5h`; also a bare `0`.
    public static func time(_ text: String) -> UInt64? {
        if text == "0" { return 0 }
        guard let time = Quantity.parse(text[...], units: Quantity.timeUnits), time <= longestTime else { return nil }
        return time
    }

    /// A pace: `max`, `recorded`, or a rate such as `100Kpps` or `2.5Gbps` (powers of 1000), not zero.
    public static func pace(_ text: String) -> Pace? {
        if text == "max" { return .max }
        if text == "recorded" { return .recorded }
        guard text.hasSuffix("pps") || text.hasSuffix("bps"),
            let rate = Quantity.parse(text.dropLast(3), units: Quantity.rateUnits), rate > 0
        else { return nil }
        return text.hasSuffix("pps") ? .packetsPerSecond(rate) : .bitsPerSecond(rate)
    }

    /// A whole number of decimal digits, nothing else.
    public static func count(_ text: String) -> UInt64? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(text) : nil
    }

    /// CPU numbers in ascending order from a list as the kernel writes it, `2-5,8`; each below 1024.
    public static func cpus(_ text: String) -> [Int]? {
        var cpus: Set<Int> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map {
                count(String($0))
            }
            guard let first = ends[0], let last = ends[ends.count - 1], first <= last, last < 1024 else { return nil }
            cpus.formUnion(Int(first)...Int(last))
        }
        return cpus.sorted()
    }

    /// Whether a text can name a sensor or a destination: 1 to 64 of `A-Z a-z 0-9 . _ -`, no dot first.
    public static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.utf8.first != UInt8(ascii: ".") && text.utf8.allSatisfy(isNameByte)
    }

    /// A name made from any text, for example from a host name: what a name may not hold becomes `-`.
    public static func name(from text: String) -> String {
        let bytes = text.utf8.drop { $0 == UInt8(ascii: ".") }.prefix(64)
        let name = String(decoding: bytes.map { isNameByte($0) ? $0 : UInt8(ascii: "-") }, as: UTF8.self)
        return name.isEmpty ? "spillway" : name
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

/// How fast files are read.
public enum Pace: Sendable, Equatable {
    /// As fast as they can be taken.
    case max
    /// As fast as they were recorded.
    case recorded
    case packetsPerSecond(UInt64)
    case bitsPerSecond(UInt64)
}
