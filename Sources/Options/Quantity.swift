/// Numbers as people write them: digits, at most one point, and a unit that says how much one is.
enum Quantity {
    /// Binary multiples, for sizes.
    static let sizeUnits: [Substring: UInt64] = [
        "": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
        "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    ]

    /// Nanoseconds, for times. A number alone is no time: it could be anything from microseconds to hours.
    static let timeUnits: [Substring: UInt64] = [
        "us": 1000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
        "d": 86_400_000_000_000,
    ]

    /// Decimal multiples, for rates, as on the label of a network card.
    static let rateUnits: [Substring: UInt64] = [
        "": 1, "K": 1000, "M": 1_000_000, "G": 1_000_000_000, "k": 1000, "m": 1_000_000, "g": 1_000_000_000,
    ]

    /// The exact whole number that `text` stands for, such as 2560 for `2.5K`; nil if it is none of these, not whole,
    /// or beyond 64 bits.
    static func parse(_ text: Substring, units: [Substring: UInt64]) -> UInt64? {
        let whole = text.prefix(while: isDigit)
        var rest = text[whole.endIndex...]
        var fraction = Substring()
        if rest.first == "." {
            fraction = rest.dropFirst().prefix(while: isDigit)
            rest = rest[fraction.endIndex...]
            guard !fraction.isEmpty, fraction.utf8.count <= 18 else { return nil }
        }
        guard let count = UInt64(whole), let unit = units[rest] else { return nil }
        let (base, overflow) = count.multipliedReportingOverflow(by: unit)
        guard !overflow, let part = share(of: unit, fraction) else { return nil }
        let (sum, tooLarge) = base.addingReportingOverflow(part)
        return tooLarge ? nil : sum
    }

    /// `0.fraction` of `unit`, if that is a whole number.
    private static func share(of unit: UInt64, _ fraction: Substring) -> UInt64? {
        guard let digits = fraction.isEmpty ? 0 : UInt64(fraction) else { return nil }
        let scale = fraction.reduce(UInt64(1)) { scale, _ in scale * 10 }
        let product = digits.multipliedFullWidth(by: unit)
        // digits < scale, so the quotient is below `unit` and cannot overflow.
        let (quotient, remainder) = scale.dividingFullWidth(product)
        return remainder == 0 ? quotient : nil
    }

    private static func isDigit(_ character: Character) -> Bool {
        character.isASCII && character.isWholeNumber
    }
}
