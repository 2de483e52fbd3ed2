/// Dates of HTTP (RFC 9110, section 5.6.7): seconds since 1970 UTC, without leap seconds.
enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// As it is sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func text(_ seconds: Int) -> String {
        let day = floored(seconds, 86_400)
        let (year, month, date) = civil(day)
        let time = seconds - day * 86_400
        return "\(days[day - floored(day, 7) * 7]), \(two(date)) \(months[month - 1]) \(four(year)) \(clock(time)) GMT"
    }

    /// As access logs and lists have it: `1994-11-06T08:49:37Z` (RFC 3339).
    static func internetText(_ seconds: Int) -> String {
        let day = floored(seconds, 86_400)
        let (year, month, date) = civil(day)
        return "\(four(year))-\(two(month))-\(two(date))T\(clock(seconds - day * 86_400))Z"
    }

    /// Understands the form that is sent and the two old ones; nil for anything else.
    static func seconds(_ text: String) -> Int? {
        let parts = text.split { $0 == " " || $0 == "," || $0 == "-" }.map(String.init)
        switch parts.count {
        case 6 where parts[5] == "GMT":
            // "Sun, 06 Nov 1994 08:49:37 GMT" and "Sunday, 06-Nov-94 08:49:37 GMT".
            guard var year = number(parts[3]) else { return nil }
            if parts[3].utf8.count == 2 { year += year < 70 ? 2000 : 1900 }
            return seconds(year: year, month: parts[2], date: parts[1], time: parts[4])
        case 5:
            // "Sun Nov  6 08:49:37 1994".
            guard let year = number(parts[4]) else { return nil }
            return seconds(year: year, month: parts[1], date: parts[2], time: parts[3])
        default: return nil
        }
    }

    private static func seconds(year: Int, month: String, date: String, time: String) -> Int? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).map { number(String($0)) }
        guard let month = months.firstIndex(of: month), let date = number(date), (1...31).contains(date),
            (1970...9999).contains(year), clock.count == 3, let hour = clock[0], let minute = clock[1],
            let second = clock[2], hour < 24, minute < 60, second <= 60
        else { return nil }
        return days(year: year, month: month + 1, date: date) * 86_400 + hour * 3600 + minute * 60 + second
    }

    private static func number(_ text: String) -> Int? {
        text.utf8.count <= 4 && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }

    // ---- calendar ------------------------------------------------------------------------------------------------

    /// Days since 1970 of a date of the Gregorian calendar: years begin in March, so that leap days come last.
    static func days(year: Int, month: Int, date: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = floored(shifted, 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + date - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(_ days: Int) -> (year: Int, month: Int, date: Int) {
        let shifted = days + 719_468
        let era = floored(shifted, 146_097)
        let day = shifted - era * 146_097
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        let date = dayOfYear - (153 * month + 2) / 5 + 1
        return (year + era * 400 + (month >= 10 ? 1 : 0), month < 10 ? month + 3 : month - 9, date)
    }

    private static func floored(_ value: Int, _ unit: Int) -> Int {
        value >= 0 ? value / unit : (value - unit + 1) / unit
    }

    private static func clock(_ time: Int) -> String { "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))" }
    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    private static func four(_ number: Int) -> String {
        String(repeating: "0", count: max(0, 4 - "\(number)".count)) + "\(number)"
    }
}
