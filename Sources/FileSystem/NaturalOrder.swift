/// The order of file names that people expect: runs of digits count by their value, so `dump9` comes before `dump10`.
enum NaturalOrder {
    /// Whether one name comes before the other. Names that differ only in leading zeros are ordered by their bytes, so
    /// that different names are never equal.
    static func precedes(_ one: String, _ other: String) -> Bool {
        let (a, b) = (Array(sealedName(one).utf8), Array(sealedName(other).utf8))
        var (i, j) = (0, 0)
        while i < a.count && j < b.count {
            if isDigit(a[i]) && isDigit(b[j]) {
                let (first, second) = (run(a, from: i), run(b, from: j))
                let (firstDigits, secondDigits) = (significant(a, first), significant(b, second))
                if firstDigits.count != secondDigits.count { return firstDigits.count < secondDigits.count }
                if firstDigits != secondDigits { return firstDigits.lexicographicallyPrecedes(secondDigits) }
                (i, j) = (first.upperBound, second.upperBound)
            } else {
                if a[i] != b[j] { return a[i] < b[j] }
                (i, j) = (i + 1, j + 1)
            }
        }
        if i < a.count || j < b.count { return i == a.count }
        return a == b ? false : a.lexicographicallyPrecedes(b)
    }

    /// A cache file has `.open` behind its name while it is written; its place is that of its final name.
    private static func sealedName(_ name: String) -> Substring {
        name.hasSuffix(".pcapng.open") ? name.dropLast(5) : name[...]
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func run(_ bytes: [UInt8], from start: Int) -> Range<Int> {
        var end = start
        while end < bytes.count && isDigit(bytes[end]) { end += 1 }
        return start..<end
    }

    private static func significant(_ bytes: [UInt8], _ run: Range<Int>) -> ArraySlice<UInt8> {
        bytes[run].drop { $0 == 0x30 }
    }
}
