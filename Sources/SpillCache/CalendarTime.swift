/// Nanoseconds since 1970 UTC as people write them, `20261121T153000Z`; whole seconds, years 1970 to 2554.
public enum CalendarTime {
    private static let daysPerCycle: UInt64 = 146_097

    /// The text of a time, cut to the second.
    public static func text(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        let (year, month, day) = date(seconds / 86400)
        let rest = seconds % 86400
        return digits(year, 4) + digits(month, 2) + digits(day, 2) + "T" + digits(rest / 3600, 2)
            + digits(rest / 60 % 60, 2) + digits(rest % 60, 2) + "Z"
    }

    /// The time of a text in exactly the form of `text(_:)`; nil for any other.
    public static func nanoseconds(_ text: some StringProtocol) -> UInt64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> UInt64? {
            bytes[range].reduce(0 as UInt64?) { sum, byte in
                guard let sum, (48...57).contains(byte) else { return nil }
                return sum * 10 + UInt64(byte - 48)
            }
        }
        guard let year = number(0..<4), let month = number(4..<6), let day = number(6..<8), let hour = number(9..<11),
            let minute = number(11..<13), let second = number(13..<15), (1970...2554).contains(year),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        // A day that its month does not have would come out as another text.
        return !overflow && self.text(product) == String(text) ? product : nil
    }

    /// Days since 1970 of a date. Years are counted from March, so that the leap day is the last of its year.
    private static func days(_ year: UInt64, _ month: UInt64, _ day: UInt64) -> UInt64 {
        let from = month > 2 ? year : year - 1
        let inYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return from * 365 + from / 4 - from / 100 + from / 400 + inYear - 719_468
    }

    /// The date of a day since 1970: the inverse of `days`.
    private static func date(_ day: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        let since = day + 719_468
        let cycle = since / daysPerCycle
        let inCycle = since % daysPerCycle
        let year = (inCycle - inCycle / 1460 + inCycle / 36524 - inCycle / 146_096) / 365
        let inYear = inCycle - (365 * year + year / 4 - year / 100)
        let month = (5 * inYear + 2) / 153
        let isNext = month >= 10
        let inMonth = inYear - (153 * month + 2) / 5
        return (cycle * 400 + year + (isNext ? 1 : 0), isNext ? month - 9 : month + 3, inMonth + 1)
    }

    private static func digits(_ value: UInt64, _ width: Int) -> String {
        let text = "\(value)"
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
}
