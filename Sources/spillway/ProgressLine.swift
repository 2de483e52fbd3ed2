import Machine

/// How far something is, how fast, and when it will be done; a few times a second.
struct ProgressLine {
    private let began = Clock.monotonic()
    private var shownAt: UInt64 = 0
    private var first: UInt64?

    /// The line, nil if the last one is still fresh.
    mutating func text(_ done: UInt64, of total: UInt64) -> String? {
        let now = Clock.monotonic()
        guard now - shownAt > 200_000_000 else { return nil }
        shownAt = now
        let start = first ?? done
        first = start
        let seconds = Double(now - began) / 1e9
        let rate = seconds > 0 ? Double(done - min(start, done)) / seconds : 0
        let percent = total > 0 ? Int(Double(done) * 100 / Double(total)) : 0
        let rest = rate > 0 && total > done ? ", \(Int(Double(total - done) / rate)) s to go" : ""
        return "\(percent) %  \(done >> 20) of \(total >> 20) MiB  \(Int(rate) >> 20) MiB/s\(rest)"
    }
}
