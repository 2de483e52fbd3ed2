internal import Machine

/// The status line on a terminal: rate, done, left.
struct StatusLine {
    private let show: (@Sendable (String) -> Void)?
    private let isLive: Bool
    private var last: (time: UInt64, packets: UInt64)
    private let started: UInt64

    init(_ show: (@Sendable (String) -> Void)?, isLive: Bool) {
        (self.show, self.isLive) = (show, isLive)
        started = Clock.monotonic()
        last = (started, 0)
    }

    /// Shows the present figures, a few times a second.
    mutating func update(
        _ values: CounterSnapshot, _ file: (name: String, total: UInt64?, consumed: UInt64)
    ) {
        guard let show else { return }
        let now = Clock.monotonic()
        guard now - last.time > 250_000_000 else { return }
        let rate = Double(values[.received] &- last.packets) / (Double(now - last.time) / 1e9)
        last = (now, values[.received])
        var line = "\(values[.received]) packets, \(UInt64(max(rate, 0))) per second"
        let lost = values.sum("dropped", scope: .capture) + values.sum("dropped", scope: .worker)
        if lost > 0 { line += ", \(lost) lost" }
        if !isLive, let total = file.total, total > 0, file.consumed > 0 {
            let share = Double(file.consumed) / Double(total)
            let left = Double(now - started) / 1e9 * (1 - share) / share
            line += "; \(file.name): \(UInt64(share * 100)) % read, \(UInt64(left)) s left"
        }
        show(line)
    }

    /// Takes the line away.
    func clear() { show?("") }
}
